"""Transactions that end although whoever asked for them is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def uninterrupted(
    transaction: Callable[Arguments, Coroutine[Any, Any, Answer]],
) -> Callable[Arguments, Coroutine[Any, Any, Answer]]:
    """Run it to its end, then let the cancellation go on.

    aiosqlite's thread does not see a cancellation: cut at BEGIN, the connection would keep the write lock, and every
    other writer would wait for it until it is collected as garbage.
    """

    @wraps(transaction)
    async def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        task = asyncio.create_task(transaction(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen, so that nobody reports it as lost
            raise

    return run
