"""Guessed passwords, over all sessions of a network."""

import asyncio
import ssl
from base64 import b64encode
from datetime import timedelta

import pytest

from edge_world import EdgeWorld, a_session
from tripost_edge.firewall.networks import network_of
from tripost_edge.limits.login_failures import Attempt, LoginFailures
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import AuthenticateQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.reply import SmtpReply

TEN_MINUTES = timedelta(minutes=10)


async def fail(failures: LoginFailures, network: str, guess: str) -> None:
    attempt = await failures.attempt(network)
    assert attempt is not None
    with attempt:
        attempt.fail("ann@dest.example", guess)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
    ],
)
def test_a_network_is_what_one_client_has_in_its_hands(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_a_network_that_failed_too_often_is_refused_for_a_while_and_no_other(clock: FrozenClock) -> None:
    failures = LoginFailures(clock, asyncio.Event, limit=3, seconds=TEN_MINUTES.total_seconds())
    for guess in ("a", "b", "c"):
        await fail(failures, "192.0.2.7", guess)
    assert await failures.attempt("192.0.2.7") is None
    assert await failures.attempt("192.0.2.8") is not None
    clock.advance(TEN_MINUTES - timedelta(seconds=1))
    assert await failures.attempt("192.0.2.7") is None
    clock.advance(timedelta(seconds=1))
    assert await failures.attempt("192.0.2.7") is not None


async def test_a_program_that_repeats_an_old_password_locks_nobody_out(clock: FrozenClock) -> None:
    failures = LoginFailures(clock, asyncio.Event, limit=2, seconds=600)
    for _ in range(50):
        await fail(failures, "192.0.2.7", "the old one")
    assert await failures.attempt("192.0.2.7") is not None


async def test_many_sessions_at_once_guess_no_more_than_one_after_the_other(clock: FrozenClock) -> None:
    failures = LoginFailures(clock, asyncio.Event, limit=3, seconds=600)
    verified: list[str] = []

    async def guess(word: str) -> bool:
        attempt = await failures.attempt("192.0.2.7")
        if attempt is None:
            return False
        with attempt:
            await asyncio.sleep(0)  # domains verifies it
            verified.append(word)
            attempt.fail("ann@dest.example", word)
        return True

    async with asyncio.timeout(5):
        admitted = await asyncio.gather(*(guess(f"guess {number}") for number in range(40)))
    assert admitted.count(True) == len(verified) == 3


async def test_many_users_of_one_network_at_once_are_all_let_in(clock: FrozenClock) -> None:
    failures = LoginFailures(clock, asyncio.Event, limit=3, seconds=600)
    under_way = 0
    most = 0

    async def log_in() -> Attempt | None:
        nonlocal most, under_way
        attempt = await failures.attempt("192.0.2.7")
        assert attempt is not None
        with attempt:
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
        return attempt

    async with asyncio.timeout(5):
        await asyncio.gather(*(log_in() for _ in range(40)))
    assert most == 3


async def test_without_a_limit_nothing_is_refused_nor_remembered(clock: FrozenClock) -> None:
    failures = LoginFailures(clock, asyncio.Event, limit=0, seconds=600)
    for number in range(100):
        await fail(failures, "192.0.2.7", str(number))
    assert len(failures._records) == 0


@pytest.fixture
async def world(clock: FrozenClock) -> EdgeWorld:
    return await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), clock=clock, auth_failures_per_network=4).serve()


async def log_in(world: EdgeWorld, password: str, session: Session | None = None, **client: object) -> SmtpReply:
    facts = {"kind": ListenerKind.SUBMISSION, "tls": "TLSv1.3", **client}
    response = b64encode(f"\0user@dest.example\0{password}".encode()).decode()
    auth = world.edge.context.stages.auth
    return await auth.take(session or a_session(**facts), f"PLAIN {response}", _no_challenge)


async def _no_challenge(_: SmtpReply) -> str:
    raise AssertionError("PLAIN with an initial response needs none")


def without_id(reply: SmtpReply) -> SmtpReply:
    return SmtpReply(reply.code, reply.enhanced, reply.text.partition(" (")[0])


async def test_failures_count_over_sessions(world: EdgeWorld, clock: FrozenClock) -> None:
    for number in range(4):
        assert (await log_in(world, f"guess {number}")).code == 535
    asked = len(world.tiers.questions(AuthenticateQuestion))
    assert without_id(await log_in(world, "secret")) == replies.AUTH_NOT_NOW
    assert len(world.tiers.questions(AuthenticateQuestion)) == asked
    assert await log_in(world, "secret", address="192.0.2.8") == replies.AUTHENTICATED
    clock.advance(TEN_MINUTES)
    assert await log_in(world, "secret") == replies.AUTHENTICATED


async def test_who_tried_in_vain_is_recorded_apart_from_who_has_logged_in(world: EdgeWorld) -> None:
    for number in range(5):  # the last one is refused for the network's failures
        await log_in(world, f"guess {number}")
    tried = [(event.tried_login, event.login) for event in world.facts(Fact.REFUSED)]
    assert tried == [("user@dest.example", "")] * 5


async def test_a_network_that_is_refused_cannot_go_on_asking_in_one_session(world: EdgeWorld) -> None:
    for number in range(4):
        await log_in(world, f"guess {number}")
    session = a_session(kind=ListenerKind.SUBMISSION, tls="TLSv1.3")
    assert [(await log_in(world, "secret", session)).code for _ in range(3)] == [454, 454, 421]


async def test_where_domains_does_not_answer_nothing_has_failed(world: EdgeWorld) -> None:
    world.bus.is_connected = False
    for number in range(10):
        assert (await log_in(world, f"guess {number}")).code == 454
    world.bus.is_connected = True
    assert await log_in(world, "secret") == replies.AUTHENTICATED


async def test_a_network_of_ours_is_not_refused(world: EdgeWorld) -> None:
    """Many users of a webmail have one address."""
    for number in range(10):
        assert (await log_in(world, f"guess {number}", relay_permitted=True)).code == 535
    assert await log_in(world, "secret", relay_permitted=True) == replies.AUTHENTICATED
