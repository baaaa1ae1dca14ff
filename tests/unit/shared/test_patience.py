"""How long a question over NATS waits for a tier that restarts, or loses its connection."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest

from tripost_shared.bus import nats_bus
from tripost_shared.bus.encoding import encode
from tripost_shared.bus.nats_bus import BUSY_HEADER, NatsBus
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.contracts.domains import ResolveAnswer, ResolveQuestion
from tripost_shared.contracts.subject import Subject

PATIENCE_SECONDS = 0.05
ANSWER = ResolveAnswer(())


class Link:
    """A connection whose other side is the test."""

    def __init__(self) -> None:
        self.answered: list[Callable[[Incoming | None], None]] = []  # of each try, the first one first
        self.open: set[bytes] = set()
        self._has_sent = asyncio.Event()

    def begin(self, subject: str, payload: bytes, header: bytes, answered: Callable[[Incoming | None], None]) -> bytes:
        token = b"%d" % len(self.answered)
        self.answered.append(answered)
        self.open.add(token)
        self._has_sent.set()
        return token

    def forget(self, token: bytes) -> None:
        self.open.discard(token)

    async def tries(self, count: int) -> None:
        """Wait until the question has gone out so many times."""
        async with asyncio.timeout(5):
            while len(self.answered) < count:
                self._has_sent.clear()
                await self._has_sent.wait()

    def meet_nobody(self, number: int) -> None:
        self._answer(number, b"NATS/1.0 503\r\n\r\n", b"")

    def meet_busy(self, number: int) -> None:
        self._answer(number, BUSY_HEADER, b"")

    def meet(self, number: int) -> None:
        self._answer(number, b"", encode(ANSWER))

    def lose_connection(self) -> None:
        for token in sorted(self.open):
            self.answered[int(token)](None)

    def _answer(self, number: int, header: bytes, octets: bytes) -> None:
        assert b"%d" % number in self.open, f"try {number} is not waited for any more"
        self.answered[number](Incoming(b"_INBOX.x.%d" % number, b"", octets, header))


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    monkeypatch.setattr(nats_bus, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(nats_bus, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(nats_bus, "MOST_PAUSES", 2)
    return Link()


def asking(link: Link, *, try_after: timedelta = timedelta(seconds=10)) -> asyncio.Task[ResolveAnswer]:
    subject = Subject("x", ResolveQuestion, ResolveAnswer, "q", timedelta(seconds=10), try_after)
    return asyncio.create_task(NatsBus(cast("NatsLink", link)).ask(subject, ResolveQuestion(("a@b.example",))))


async def test_a_tier_that_stays_away_is_given_up(link: Link) -> None:
    answer = asking(link)
    for number in range(3):
        await link.tries(number + 1)
        link.meet_nobody(number)
    with pytest.raises(NoAnswer, match="nobody serves it"):
        await answer
    assert len(link.answered) == 3
    assert not link.open


async def test_a_connection_that_is_lost_again_much_later_is_waited_for_anew(link: Link) -> None:
    answer = asking(link)
    for number in range(2):
        await link.tries(number + 1)
        link.meet_nobody(number)
    await link.tries(3)  # the last one: a replica takes it, and is at work for long
    asyncio.get_running_loop().call_later(2 * PATIENCE_SECONDS, link.lose_connection)
    await link.tries(4)
    link.meet(3)
    assert await answer == ANSWER


async def test_a_replica_at_work_is_waited_for_however_long_there_is_no_other(link: Link) -> None:
    answer = asking(link, try_after=timedelta(milliseconds=1))
    for number in range(1, 6):
        await link.tries(number + 1)
        link.meet_nobody(number)
    link.meet(0)
    assert await answer == ANSWER
    assert not link.open


async def test_a_replica_that_is_busy_is_not_at_work(link: Link) -> None:
    answer = asking(link)
    await link.tries(1)
    link.meet_busy(0)
    for number in range(1, 4):
        await link.tries(number + 1)
        link.meet_nobody(number)
    with pytest.raises(NoAnswer, match="nobody serves it"):
        await answer
