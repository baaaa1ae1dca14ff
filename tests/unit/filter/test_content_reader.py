"""Reading stored content: slots, bounds, and how much memory it takes."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest

from tripost_filter.checks.patterns import Patterns
from tripost_filter.content_reader import BEGINNING_OCTETS, ContentReader
from tripost_filter.mail import Mail
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentDamaged
from tripost_shared.mail.content import Content
from unit.filter.mails import LETTER, STRANGER, ChunkedStore

MIB = 1 << 20


def a_reader(store: MemoryContentStore, *, max_octets: int = MIB, within_ms: int = 1000) -> ContentReader:
    return ContentReader(store, at_once=1, max_octets=max_octets, within=timedelta(milliseconds=within_ms))


async def test_messages_that_are_not_inline_wait_for_their_turn() -> None:
    may_go_on = asyncio.Event()

    class Slow(MemoryContentStore):
        async def open(self, content: Content) -> AsyncIterator[bytes]:
            await may_go_on.wait()
            async for octets in super().open(content):
                yield octets

    store = Slow()
    reader = a_reader(store, within_ms=50)
    content = store.put("a", b"abc")

    async def read() -> bytes:
        async with reader.reading(content) as reading:
            return reading.beginning

    first = asyncio.create_task(read())
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await read()
    with pytest.raises(TimeoutError):
        await first
    may_go_on.set()
    assert await read() == b"abc"


async def test_of_more_than_is_examined_nothing_is_given() -> None:
    store = ChunkedStore()
    async with a_reader(store).reading(store.put("a", b"x" * (MIB + 1))) as reading:
        assert not reading.is_complete
        assert len(reading.beginning) >= BEGINNING_OCTETS
        assert sum([len(chunk) async for chunk in reading.chunks()]) == MIB


async def test_damage_is_told_even_if_just_all_is_examined() -> None:
    store = ChunkedStore()
    content = store.put("a", b"x" * MIB)
    store.readings_until_lost = 1

    async def read() -> None:
        async with a_reader(store).reading(content) as reading:
            assert reading.is_complete
            with suppress(ContentDamaged):  # as the pipeline does with what a check raises
                assert [chunk async for chunk in reading.chunks()]

    with pytest.raises(ContentDamaged):
        await read()


async def test_a_message_of_many_megabytes_needs_the_memory_of_a_few_chunks() -> None:
    class Endless(MemoryContentStore):
        async def open(self, content: Content) -> AsyncIterator[bytes]:
            yield LETTER
            for _ in range(content.size_octets // 131_072):
                yield b"x" * 131_072

    async with a_reader(Endless(), max_octets=64 * MIB).reading(Content(20 * MIB, stored="a")) as reading:
        tracemalloc.start()
        try:
            await Patterns().examine(Mail(STRANGER, octets=reading.beginning, stored=reading))
            _, peak_octets = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_octets < 2 * MIB
