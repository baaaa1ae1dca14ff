"""All clients seem to have one address: what operators are told, and when not."""

from datetime import timedelta
from typing import Any

import pytest

from tripost_edge.limits.one_address import SESSIONS, OneAddress
from tripost_edge.session.session import Session
from tripost_shared.clock import FrozenClock
from tripost_shared.mail.client import Client, ListenerKind

NEARLY = timedelta(seconds=60 / (SESSIONS - 1) * 0.99)
ENOUGH = timedelta(seconds=60 / (SESSIONS - 1) * 1.01)


def a_session(address: str = "172.17.0.1", **facts: Any) -> Session:
    flags = {name: facts.pop(name) for name in ("is_allowed", "client_is_proxy") if name in facts}
    return Session("1k3v9q2m8f0abcde", Client(address, **facts), **flags)


def note_many(watch: OneAddress, clock: FrozenClock, between: timedelta, count: int = SESSIONS, **session: Any) -> None:
    for number in range(count):
        if number:
            clock.advance(between)
        watch.note(a_session(**session), is_loopback=False)


def test_fifty_sessions_of_a_minute_from_one_address_are_told_with_what_to_do(clock: FrozenClock) -> None:
    watch = OneAddress(clock)
    note_many(watch, clock, ENOUGH)
    assert watch.trouble.startswith("all of the last 50 clients came from 172.17.0.1: a proxy or NAT may hide")
    assert "TRIPOST_EDGE_PROXY_LISTENER" in watch.trouble
    assert "relay" not in watch.trouble
    watch.note(a_session("192.0.2.7"), is_loopback=False)
    assert watch.trouble == ""


def test_that_everybody_may_relay_then_is_told_too(clock: FrozenClock) -> None:
    watch = OneAddress(clock)
    note_many(watch, clock, ENOUGH, relay_permitted=True)
    assert "It may relay without a login, so perhaps everybody may." in watch.trouble


def test_a_busy_client_that_has_many_sessions_at_once_is_none_to_tell_of(clock: FrozenClock) -> None:
    watch = OneAddress(clock)
    note_many(watch, clock, NEARLY)
    assert watch.trouble == ""
    clock.advance(timedelta(hours=1))
    assert watch.trouble == ""
    assert not OneAddress(clock).trouble


def test_fewer_sessions_tell_nothing_however_long_they_take(clock: FrozenClock) -> None:
    watch = OneAddress(clock)
    note_many(watch, clock, timedelta(hours=1), SESSIONS - 1)
    assert watch.trouble == ""


@pytest.mark.parametrize(
    "session",
    [
        pytest.param({"kind": ListenerKind.SUBMISSION}, id="submission"),
        pytest.param({"kind": ListenerKind.INTERNAL}, id="internal"),
        pytest.param({"announced_by_proxy": True}, id="announced by a proxy"),
        pytest.param({"client_is_proxy": True}, id="a proxy"),
        pytest.param({"is_allowed": True}, id="allowed by an access rule"),
    ],
)
def test_sessions_that_tell_nothing_do_not_count(clock: FrozenClock, session: dict[str, Any]) -> None:
    watch = OneAddress(clock)
    note_many(watch, clock, ENOUGH, **session)
    assert watch.trouble == ""


def test_sessions_of_this_machine_do_not_count(clock: FrozenClock) -> None:
    watch = OneAddress(clock)
    for _ in range(SESSIONS):
        clock.advance(ENOUGH)
        watch.note(a_session("127.0.0.1"), is_loopback=True)
    assert watch.trouble == ""
