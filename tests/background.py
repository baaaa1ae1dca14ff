"""Scripted servers for tests that are not asynchronous themselves: an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, TypeVar

WITHIN_SECONDS: Final = 30.0
Result = TypeVar("Result")
Entered = TypeVar("Entered")


class Background:
    """A running event loop that takes work from this thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine there and give its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_SECONDS)

    @contextmanager
    def running(self, server: AbstractAsyncContextManager[Entered]) -> Iterator[Entered]:
        """Have a server run for a while: `with background.running(NextHop()) as hop`."""
        entered = self.run(_enter(server))
        try:
            yield entered
        finally:
            self.run(_leave(server))

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_SECONDS)
        self._loop.close()


async def _enter(server: AbstractAsyncContextManager[Entered]) -> Entered:
    return await server.__aenter__()


async def _leave(server: AbstractAsyncContextManager[Any]) -> None:
    await server.__aexit__(None, None, None)
