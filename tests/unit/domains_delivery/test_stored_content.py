"""Content in the store: kept for the queue, forgotten in time and not before."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from contents import read_all
from tripost_domains.delivery.contents import ORPHAN_AFTER, Contents, orphaned
from tripost_shared.clock import FrozenClock
from tripost_shared.content.forgetting import FORGET_AFTER
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.content.port import ContentUnavailable, StoredObject
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("age", "oldest_spooled", "is_orphan"),
    [
        pytest.param(1.5 * HOUR, None, False, id="too young"),
        pytest.param(2.5 * HOUR, None, True, id="old, and SPOOL is empty"),
        pytest.param(5 * HOUR, 3 * HOUR, True, id="much older than all in SPOOL"),
        pytest.param(5 * HOUR, 4.5 * HOUR, False, id="it may have been committed for a message in SPOOL"),
        pytest.param(5 * HOUR, 6 * HOUR, False, id="a message in SPOOL is older"),
    ],
)
def test_only_what_no_message_in_spool_can_mean_is_an_orphan(
    age: timedelta,
    oldest_spooled: timedelta | None,
    is_orphan: bool,
) -> None:
    stored = [StoredObject("name", 1, NOW - age)]
    oldest_at = None if oldest_spooled is None else NOW - oldest_spooled
    assert bool(orphaned(stored, NOW, oldest_at)) is is_orphan


async def test_the_sweep_keeps_what_the_queue_refers_to(clock: FrozenClock) -> None:
    store = MemoryContentStore(clock)
    store.put("queued", b"x")
    store.put("orphan", b"x")
    clock.advance(ORPHAN_AFTER + HOUR)
    store.put("young", b"x")

    async def queued() -> set[str]:
        return {"queued"}

    assert await Contents(store, clock).sweep(None, queued) == 1
    assert {stored.name for stored in await store.list()} == {"queued", "young"}


async def test_the_sweep_keeps_what_was_committed_anew_meanwhile(clock: FrozenClock) -> None:
    store = MemoryContentStore(clock)
    store.put("again", b"former")
    clock.advance(ORPHAN_AFTER + HOUR)

    async def queued() -> set[str]:
        store.put("again", b"new")
        return set()

    await Contents(store, clock).sweep(None, queued)
    assert await read_all(store, Content(size_octets=3, stored="again")) == b"new"


async def test_damaged_content_is_not_gone(clock: FrozenClock) -> None:
    """Gone means that its message was settled before; a damaged message was not, and somebody must be told."""
    store = MemoryContentStore(clock)
    store.put("whole", b"xyz")
    contents = Contents(store, clock)
    assert not await contents.is_missing(Content(size_octets=3, stored="whole"))
    assert not await contents.is_missing(Content(size_octets=4, stored="whole"))
    assert await contents.is_missing(Content(size_octets=3, stored="other"))


async def test_content_is_forgotten_some_time_after_its_message(clock: FrozenClock) -> None:
    """SPOOL may give a message again when its acknowledgement got lost."""
    store = MemoryContentStore(clock)
    contents = Contents(store, clock)
    for name in ("settled", "queued again"):
        store.put(name, b"x")
        contents.forget_later(name)

    async def is_wanted(name: str) -> bool:
        return name == "queued again"

    await contents.forget_due(is_wanted)
    assert len(await store.list()) == 2
    clock.advance(FORGET_AFTER)
    await contents.forget_due(is_wanted)
    assert [stored.name for stored in await store.list()] == ["queued again"]


async def test_content_that_is_stored_again_at_the_moment_of_forgetting_stays(clock: FrozenClock) -> None:
    """The message came again, was deferred, and its row is not there yet."""
    store = MemoryContentStore(clock)
    contents = Contents(store, clock)
    store.put("again", b"former")
    contents.forget_later("again")
    clock.advance(FORGET_AFTER)

    async def is_wanted(name: str) -> bool:
        store.put(name, b"new")
        return False

    await contents.forget_due(is_wanted)
    assert await read_all(store, Content(size_octets=3, stored="again")) == b"new"


class StubbornStore(MemoryContentStore):
    """Does not let "stubborn" be deleted until told."""

    is_stubborn = True

    async def delete(self, name: str, committed_by: datetime | None = None) -> None:
        if name == "stubborn" and self.is_stubborn:
            raise ContentUnavailable("no permission")
        await super().delete(name, committed_by)


async def test_content_that_cannot_be_deleted_keeps_nothing_behind_it_and_is_told_once(clock: FrozenClock) -> None:
    store = StubbornStore(clock)
    contents = Contents(store, clock)
    for name in ("stubborn", "settled"):
        store.put(name, b"x")
        contents.forget_later(name)

    async def is_wanted(_name: str) -> bool:
        return False

    with capture_logs() as lines:
        for _ in range(2):
            clock.advance(FORGET_AFTER)
            await contents.forget_due(is_wanted)
            await contents.forget_due(is_wanted)
            assert [stored.name for stored in await store.list()] == ["stubborn"]
    assert [line["content"] for line in lines] == ["stubborn"]
    store.is_stubborn = False
    clock.advance(FORGET_AFTER)
    await contents.forget_due(is_wanted)
    assert await store.list() == []


async def test_the_sweep_goes_on_behind_content_that_cannot_be_deleted(clock: FrozenClock) -> None:
    store = StubbornStore(clock)
    for name in ("stubborn", "orphan"):
        store.put(name, b"x")
    clock.advance(ORPHAN_AFTER + HOUR)

    async def queued() -> set[str]:
        return set()

    with pytest.raises(ContentUnavailable, match="no permission"):
        await Contents(store, clock).sweep(None, queued)
    assert [stored.name for stored in await store.list()] == ["stubborn"]


async def test_inline_content_is_stored_under_the_messages_id(clock: FrozenClock) -> None:
    store = MemoryContentStore(clock)
    message = SpooledMessage(
        "1k3v9q2m8f0abcde.1", NOW, Direction.INBOUND, Client("192.0.2.1"), Envelope("", ()), Content.of(b"A: b\r\n")
    )
    kept = await Contents(store, clock).keep(message)
    assert (kept.stored, kept.inline, kept.size_octets) == (message.id, None, 6)
    assert await read_all(store, kept) == b"A: b\r\n"
