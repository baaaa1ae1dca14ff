"""Which mechanisms are offered to whom, and how long what domains has said about them is remembered."""

from datetime import timedelta

import pytest

from edge_world import OtherTiers, a_session
from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.stages.mechanisms import ASK_AGAIN_SECONDS, OfferedMechanisms
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.sasl import MECHANISMS
from tripost_shared.mail.client import ListenerKind

SUBMISSION = {"kind": ListenerKind.SUBMISSION, "tls": "TLSv1.3"}


class Given:
    """Domains that answers on a bus, and what edge remembers of it for 30 s."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.bus = MemoryBus()
        self.tiers = OtherTiers(mechanisms=("SCRAM-SHA-256", "PLAIN"))
        self.directory = DirectoryMemory(self.clock, 30)
        self.offered = OfferedMechanisms(self.bus, self.directory)

    async def offers(self) -> tuple[str, ...]:
        return await self.offered.of(a_session(**SUBMISSION))


@pytest.fixture
async def given() -> Given:
    given = Given()
    await given.tiers.serve(given.bus)
    return given


@pytest.mark.parametrize(
    "client",
    [{"kind": ListenerKind.SUBMISSION}, {"tls": "TLSv1.3"}, {"kind": ListenerKind.INTERNAL, "tls": "TLSv1.3"}],
    ids=["before TLS", "mx", "internal"],
)
async def test_where_nobody_logs_in_nothing_is_offered(given: Given, client: dict[str, object]) -> None:
    assert await given.offered.of(a_session(**client)) == ()


async def test_a_listener_offers_those_of_its_own_that_work(given: Given) -> None:
    session = a_session(**SUBMISSION)
    session.mechanisms = ("PLAIN", "GSSAPI")
    assert await given.offered.of(session) == ("PLAIN",)


async def test_what_works_is_asked_once_in_a_while_and_after_each_change(given: Given) -> None:
    assert await given.offers() == ("SCRAM-SHA-256", "PLAIN")
    given.tiers.mechanisms = ("LOGIN",)
    given.clock.advance(timedelta(seconds=29))
    assert await given.offers() == ("SCRAM-SHA-256", "PLAIN")
    given.clock.advance(timedelta(seconds=2))
    assert await given.offers() == ("LOGIN",)
    given.tiers.mechanisms = ("PLAIN",)
    given.directory.take(DirectoryChange(revision=5))
    assert await given.offers() == ("PLAIN",)


async def test_without_an_answer_it_is_what_was_known_last_and_at_first_the_default(given: Given) -> None:
    given.bus.is_connected = False
    assert await given.offers() == ("PLAIN", "LOGIN")
    given.bus.is_connected = True
    assert await given.offers() == ("PLAIN", "LOGIN")  # it is not asked at each EHLO while domains is away
    given.clock.advance(timedelta(seconds=ASK_AGAIN_SECONDS))
    assert await given.offers() == ("SCRAM-SHA-256", "PLAIN")
    given.bus.forsake(MECHANISMS)
    given.directory.take(DirectoryChange(revision=5))
    assert await given.offers() == ("SCRAM-SHA-256", "PLAIN")
