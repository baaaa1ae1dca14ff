"""What the directory remembers, and what it says while the database is away."""

import asyncio
from datetime import timedelta

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.cache import CacheLimits
from tripost_domains.directory.service import Directory
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.mail.address import Address
from tripost_shared.mail.failures import TransientFailure

FRESH = timedelta(seconds=60)
STALE = timedelta(minutes=10)


class Given:
    """A directory over a table, on a clock that stands still."""

    def __init__(self, at_most: int = 100) -> None:
        self.clock = FrozenClock()
        self.records = MemoryDirectoryRecords("mailbox ann@dest.example", "grant ann@dest.example @news.example")
        self.directory = Directory(self.records, self.clock, CacheLimits(at_most, FRESH, STALE))

    async def kind(self, recipient: str, *, afresh: bool = False) -> RecipientKind:
        (resolution,) = await self.directory.resolve_all([recipient], afresh=afresh)
        return resolution.kind


@pytest.fixture
def given() -> Given:
    return Given()


async def test_an_answer_is_read_once_while_it_is_fresh(given: Given) -> None:
    for recipient in ("ann@dest.example", "Ann@dest.example"):
        assert await given.kind(recipient) is RecipientKind.LOCAL
    assert given.records.loads == 1


async def test_a_foreign_domain_is_read_once_for_all_its_recipients(given: Given) -> None:
    for recipient in ("eve@other.example", "joe@other.example"):
        assert await given.kind(recipient) is RecipientKind.FOREIGN
    assert given.records.loads == 1


async def test_an_answer_grows_old(given: Given) -> None:
    await given.kind("ann@dest.example")
    given.clock.advance(FRESH + timedelta(seconds=1))
    given.records.remove("ann@dest.example")
    assert await given.kind("ann@dest.example") is RecipientKind.UNKNOWN


async def test_a_change_is_seen_at_once(given: Given) -> None:
    assert await given.kind("new@dest.example") is RecipientKind.UNKNOWN
    given.records.add("mailbox new@dest.example")
    given.directory.forget()
    assert await given.kind("new@dest.example") is RecipientKind.LOCAL


async def test_equal_questions_at_one_time_read_once(given: Given) -> None:
    await asyncio.gather(*(given.kind("ann@dest.example") for _ in range(20)))
    assert given.records.loads == 1


async def test_a_question_that_is_given_up_does_not_end_the_reading_for_others(given: Given) -> None:
    first = asyncio.create_task(given.kind("ann@dest.example"))
    second = asyncio.create_task(given.kind("ann@dest.example"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is RecipientKind.LOCAL


async def test_memory_is_bounded(given: Given) -> None:
    given = Given(at_most=10)
    for number in range(50):
        await given.kind(f"user{number}@dest.example")
    assert len(given.directory._local_parts) == 10


async def test_what_is_used_stays_in_memory_longest() -> None:
    given = Given(at_most=2)
    for recipient in ("ann@dest.example", "x@dest.example", "ann@dest.example", "y@dest.example"):
        await given.kind(recipient)
    loads = given.records.loads
    await given.kind("ann@dest.example")
    assert given.records.loads == loads


async def test_without_a_database_what_is_not_remembered_is_a_transient_failure(given: Given) -> None:
    given.records.is_away = True
    with pytest.raises(TransientFailure):
        await given.kind("ann@dest.example")


async def test_without_a_database_a_stale_answer_is_given_up_to_a_bound(given: Given) -> None:
    await given.kind("ann@dest.example")
    given.records.is_away = True
    given.clock.advance(STALE - timedelta(seconds=1))
    assert await given.kind("ann@dest.example") is RecipientKind.LOCAL
    given.clock.advance(timedelta(seconds=2))
    with pytest.raises(TransientFailure):
        await given.kind("ann@dest.example")


async def test_without_a_database_a_stale_yes_outlives_a_change(given: Given) -> None:
    await given.kind("ann@dest.example")
    given.records.is_away = True
    given.directory.forget()
    assert await given.kind("ann@dest.example") is RecipientKind.LOCAL


@pytest.mark.parametrize("recipient", ["new@dest.example", "eve@new.example"])
async def test_without_a_database_a_stale_no_does_not_outlive_a_change(given: Given, recipient: str) -> None:
    """It would refuse mail for what was just made."""
    await given.kind(recipient)
    given.records.is_away = True
    given.directory.forget()
    with pytest.raises(TransientFailure):
        await given.kind(recipient)


async def test_a_reading_that_began_before_a_change_is_not_taken_for_fresh(given: Given) -> None:
    reading = asyncio.create_task(given.kind("ann@dest.example"))
    await asyncio.sleep(0)
    given.directory.forget()
    await reading
    await given.kind("ann@dest.example")
    assert given.records.loads == 2


async def test_an_answer_that_is_asked_for_afresh_is_read_anew_and_remembered(given: Given) -> None:
    """By a reading of its own: one that is under way may have begun too early."""
    under_way = asyncio.create_task(given.kind("new@dest.example"))
    await asyncio.sleep(0)
    given.records.add("mailbox new@dest.example")
    assert await given.kind("new@dest.example", afresh=True) is RecipientKind.LOCAL
    await under_way
    given.records.is_away = True
    with pytest.raises(TransientFailure):
        await given.kind("new@dest.example", afresh=True)


async def test_a_sender_is_remembered_but_never_over_a_change(given: Given) -> None:
    ann = Address.parse("ann@dest.example")
    await given.directory.sender(ann)
    given.records.is_away = True
    record = await given.directory.sender(ann)
    assert record is not None
    assert record.grants == {"@news.example"}
    given.directory.forget()
    with pytest.raises(TransientFailure):
        await given.directory.sender(ann)


class SlowToTellTheFirstDomain(MemoryDirectoryRecords):
    """Gives the first domain as it is now, once the gate is open."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def first_domain(self) -> str:
        domain = await super().first_domain()
        self.begun.set()
        await self.gate.wait()
        return domain


async def test_who_our_postmaster_is_is_read_anew_after_a_change(clock: FrozenClock) -> None:
    """A reading that began before it would refuse mail for the postmaster of the domain that was just made."""
    records = SlowToTellTheFirstDomain()
    directory = Directory(records, clock)
    before = asyncio.create_task(directory.resolve_all(["postmaster"]))
    await records.begun.wait()
    records.add("mailbox postmaster@dest.example")
    directory.forget()
    after = asyncio.create_task(directory.resolve_all(["postmaster"]))
    await asyncio.sleep(0)
    records.gate.set()
    assert [one.kind for one in await before + await after] == [RecipientKind.UNKNOWN, RecipientKind.LOCAL]
