"""Writing an object when the store goes away in the middle of it."""

import asyncio
import gc
from typing import Any

import pytest

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import CHUNK_OCTETS, WINDOW, ObjectWriter


async def test_chunks_that_fail_together_are_one_failure_and_no_stray_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))

    async def unavailable(*_: object) -> int:
        raise JetStreamUnavailable("the connection to NATS was lost")

    monkeypatch.setattr(jetstream, "publish", unavailable)
    monkeypatch.setattr(jetstream, "purge", unavailable)
    writer = ObjectWriter(NatsLink(), "m1")
    with pytest.raises(ContentUnavailable, match="was lost"):
        await writer.write(b"x" * CHUNK_OCTETS * (WINDOW + 1))
    await writer.abort()
    del writer
    gc.collect()
    assert stray == []
