"""What has become of a message already, as the tracking knows it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from structlog.testing import capture_logs

from tripost_domains.tracking.history import TrackedHistory
from tripost_domains.tracking.past import past_of
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.spool.events import FACTS_ACK_WAIT_SECONDS
from tripost_shared.spool.memory import MemoryEventLog, MemoryEventReader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = "1k3v9q2m8f0abcde.1"
ANN, BOB, ALL, BOTH = "ann@dest.example", "bob@dest.example", "all@dest.example", "both@dest.example"


def told(
    fact: Fact,
    recipient: str = "",
    *,
    recipients: tuple[str, ...] = (),
    related: str = "",
    after: timedelta = timedelta(0),
) -> Event:
    identifier = f"{fact}-{recipient}-{recipients}"
    described = {"recipient": recipient, "recipients": recipients, "related": related}
    return Event(identifier, MESSAGE, NOW + after, fact, "domains", **described)


@pytest.mark.parametrize(
    ("facts", "queued", "settled"),  # of an envelope with ann, All and both
    [
        pytest.param([told(Fact.DELIVERED, ANN)], (), {ANN}, id="delivered"),
        pytest.param([told(Fact.RELAYED, ANN)], (), {ANN}, id="relayed"),
        pytest.param([told(Fact.FAILED, ANN)], (), {ANN}, id="failed"),
        pytest.param([told(Fact.DISCARDED, ANN)], (), {ANN}, id="dropped by an operator"),
        pytest.param([told(Fact.DEFERRED, ANN), told(Fact.HELD, BOB)], (), set(), id="nothing final"),
        pytest.param([told(Fact.DEFERRED, ANN)], (ANN,), {ANN}, id="queued"),
        pytest.param(
            [told(Fact.EXPANDED, ALL, recipients=(ANN, BOB)), told(Fact.DELIVERED, ANN)],
            (BOB,),
            {ANN, BOB, "All@dest.example"},
            id="an alias whose targets are all settled",
        ),
        pytest.param(
            [told(Fact.EXPANDED, ALL, recipients=(ANN, BOB)), told(Fact.DELIVERED, ANN)],
            (),
            {ANN},
            id="an alias with a target that got nothing",
        ),
        pytest.param(
            [
                told(Fact.EXPANDED, BOTH, recipients=(ALL, BOB)),
                told(Fact.EXPANDED, ALL, recipients=("Ann@dest.example",)),
                told(Fact.DELIVERED, ANN),
                told(Fact.DELIVERED, BOB),
            ],
            (),
            {ANN, BOB, "All@dest.example", BOTH},
            id="an alias of an alias",
        ),
    ],
)
def test_who_needs_nothing_any_more(facts: list[Event], queued: tuple[str, ...], settled: set[str]) -> None:
    assert past_of(facts).settled(queued, [ANN, "All@dest.example", BOTH]) == settled


def test_an_alias_is_settled_whether_its_accent_is_with_the_letter_or_after_it() -> None:
    """A client may have written it either way; the fact names the key."""
    past = past_of([told(Fact.EXPANDED, "\u00e9ve@dest.example", recipients=(ANN,)), told(Fact.DELIVERED, ANN)])
    assert past.settled((), ["E\u0301ve@dest.example"]) == {ANN, "E\u0301ve@dest.example"}


@pytest.mark.parametrize("later", [timedelta(seconds=1), timedelta(0)], ids=["a second later", "in one moment"])
def test_an_alias_that_led_elsewhere_at_each_attempt_is_one_past_in_whatever_order_it_is_told(later: timedelta) -> None:
    """The newest counts, so bob's delivery settles the alias; facts of one moment must not depend on their order."""
    to_ann = told(Fact.EXPANDED, ALL, recipients=(ANN,))
    to_bob = told(Fact.EXPANDED, ALL, recipients=(BOB,), after=later)
    delivered = told(Fact.DELIVERED, BOB)
    pasts = [past_of(facts) for facts in permutations((to_ann, to_bob, delivered))]
    assert all(past.settled((), ["All@dest.example"]) == {BOB, "All@dest.example"} for past in pasts)


def test_the_dsns_that_were_sent_are_known() -> None:
    past = past_of([told(Fact.BOUNCED, "ann@sender.example", related="1k3v9q2m8f0abcdf.1")])
    assert past.bounces == {"1k3v9q2m8f0abcdf.1"}
    assert past.settled(()) == set()


class Facts:
    """A table of facts."""

    def __init__(self, *facts: Event) -> None:
        self._facts = facts

    async def read(self, message_id: str, kinds: Collection[Fact]) -> Sequence[Event]:
        return [fact for fact in self._facts if fact.message_id == message_id and fact.fact in kinds]


class CountingReader(MemoryEventReader):
    """Counts how often it was waited for, and notes how long at most."""

    waits = 0
    within = timedelta()

    async def wait_until_done(self, within: timedelta) -> bool:
        self.waits += 1
        self.within = within
        await asyncio.sleep(0)
        return await super().wait_until_done(within)


async def test_many_who_ask_at_the_same_time_wait_together(clock: FrozenClock) -> None:
    reader = CountingReader(MemoryEventLog())
    history = TrackedHistory(reader, Facts(told(Fact.DELIVERED, ANN)), clock)
    pasts = await asyncio.gather(*(history.past_of(MESSAGE) for _ in range(100)))
    assert {past.final for past in pasts} == {frozenset({ANN})}
    assert reader.waits <= 2
    clock.advance(timedelta(seconds=1))
    before = reader.waits
    await history.past_of(MESSAGE)
    assert reader.waits == before + 1


async def test_facts_that_a_killed_reader_had_taken_are_waited_for(clock: FrozenClock) -> None:
    """A queued delivery comes again as soon as domains is started again; its facts only after the log's own wait."""
    reader = CountingReader(MemoryEventLog())
    await TrackedHistory(reader, Facts(), clock).past_of(MESSAGE)
    assert reader.within >= timedelta(seconds=FACTS_ACK_WAIT_SECONDS + 5)


async def test_a_log_that_is_not_read_to_its_end_is_waited_for_a_while_and_said(clock: FrozenClock) -> None:
    log = MemoryEventLog([told(Fact.DELIVERED, ANN)])
    history = TrackedHistory(MemoryEventReader(log), Facts(), clock, timedelta(milliseconds=20))
    with capture_logs() as logs:
        assert (await history.past_of(MESSAGE)).final == frozenset()
    assert [entry["log_level"] for entry in logs] == ["warning"]
