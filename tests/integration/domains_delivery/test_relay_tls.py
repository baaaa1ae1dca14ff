"""STARTTLS by "none", "may" and "encrypt"."""

import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest
import trustme

from delivery_world import OCTETS, TOP
from next_hop import NextHop
from relay_world import BOTH_WAYS, RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_domains.delivery.relay.host import Host
from tripost_shared.clock import FrozenClock


@pytest.mark.parametrize(("tls", "encrypted"), [("none", False), ("may", True), ("encrypt", True)])
async def test_it_is_used_when_wanted_and_offered(
    world: RelayWorld,
    certificate: trustme.LeafCert,
    tls: str,
    encrypted: bool,
) -> None:
    async with NextHop(certificate=certificate) as hop:
        assert (await world.relay_one(hop, tls=tls)).result is Result.RELAYED
        assert hop.taken[0].tls is encrypted
        assert hop.taken[0].content == TOP + OCTETS


@pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
async def test_it_is_not_offered(world: RelayWorld, tls: str, result: Result) -> None:
    async with NextHop() as hop:
        assert (await world.relay_one(hop, tls=tls)).result is result


@pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
async def test_starttls_is_refused(world: RelayWorld, certificate: trustme.LeafCert, tls: str, result: Result) -> None:
    async with NextHop(certificate=certificate, replies={"STARTTLS": "454 4.7.0 Not now"}) as hop:
        assert (await world.relay_one(hop, tls=tls)).result is result
        assert hop.connections == 1


@pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
async def test_the_handshake_fails(world: RelayWorld, tls: str, result: Result) -> None:
    """Opportunistic TLS goes on in plain text, over a new connection."""
    async with NextHop(breaks_tls=True) as hop:
        outcome = await world.relay_one(hop, tls=tls)
        assert outcome.result is result
        assert [transaction.tls for transaction in hop.taken] == ([False] if result is Result.RELAYED else [])


async def test_broken_tls_is_remembered(world: RelayWorld) -> None:
    async with NextHop(breaks_tls=True, replies={"content": "450 Later"}) as hop:
        for _ in range(2):
            await world.relay_one(hop)
            await world.pool.close()
        assert hop.commands.count("STARTTLS") == 1


async def test_a_handshake_that_is_cut_once_is_no_reason_for_plain_text(
    world: RelayWorld, certificate: trustme.LeafCert
) -> None:
    """A host that is started again cuts one, and its TLS is as good as before."""
    async with NextHop(certificate=certificate, cuts_handshakes=1) as hop:
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert (hop.connections, hop.taken[0].tls) == (2, True)
        assert not world.memory.has_broken_tls(Host("127.0.0.1", "127.0.0.1", hop.port))


async def test_handshakes_that_are_cut_twice_are_broken(world: RelayWorld, certificate: trustme.LeafCert) -> None:
    async with NextHop(certificate=certificate, cuts_handshakes=2) as hop:
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert (hop.connections, hop.taken[0].tls) == (3, False)


NO_TLS = pytest.mark.parametrize(
    "refused_tls",
    [pytest.param({}, id="handshake fails"), pytest.param({"STARTTLS": "454 4.7.0 Not now"}, id="STARTTLS is refused")],
)


@NO_TLS
@BOTH_WAYS
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["530 Must issue a STARTTLS command first", "550 5.7.1 Not in plain text"])
async def test_what_is_refused_in_plain_text_may_be_taken_under_tls(
    world: RelayWorld, extensions: list[str], step: str, reply: str, refused_tls: dict[str, str]
) -> None:
    """So it is for now, and the next message asks for TLS again, on a new connection."""
    replies = refused_tls | {step: [reply, f"{354 if step == 'DATA' else 250} Ok"]}
    async with NextHop(breaks_tls=True, extensions=extensions, replies=replies) as hop:
        outcome = await world.relay_one(hop)
        assert (outcome.result, str(outcome.reply)) == (Result.DEFERRED, reply)
        asked = hop.commands.count("STARTTLS")
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.commands.count("STARTTLS") == asked + 1


@NO_TLS
async def test_what_is_refused_for_other_reasons_is_refused(world: RelayWorld, refused_tls: dict[str, str]) -> None:
    replies = refused_tls | {"RCPT": "550 5.1.1 No such user"}
    async with NextHop(breaks_tls=True, replies=replies) as hop:
        assert (await world.relay_one(hop)).result is Result.FAILED


async def test_a_host_that_wants_tls_and_offers_none_has_refused(world: RelayWorld) -> None:
    async with NextHop(replies={"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}) as hop:
        assert (await world.relay_one(hop)).result is Result.FAILED


@NO_TLS
async def test_sessions_without_the_tls_that_was_offered_serve_for_a_minute(
    world: RelayWorld, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, refused_tls: dict[str, str]
) -> None:
    monkeypatch.setattr(world.memory, "_clock", clock)
    async with NextHop(breaks_tls=True, replies=refused_tls) as hop:
        for _ in range(2):
            assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.commands.count("STARTTLS") == 1
        clock.advance(timedelta(minutes=1))
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.commands.count("STARTTLS") == 2


@pytest.mark.parametrize("refused_tls", [None, {"STARTTLS": "454 4.7.0 Not now"}], ids=["no offer", "refused"])
async def test_that_a_route_finds_no_tls_keeps_no_other_route_away(
    world: RelayWorld, refused_tls: dict[str, str] | None
) -> None:
    """The route that needs TLS remembers it for itself."""
    async with NextHop(replies=refused_tls, breaks_tls=refused_tls is not None) as hop:
        for _ in range(2):
            assert (await world.relay_one(hop, tls="encrypt")).reply.enhanced == "4.7.5"
        assert (hop.connections, (await world.relay_one(hop, tls="may")).result) == (1, Result.RELAYED)


@pytest.mark.parametrize("tls", ["may", "encrypt"])
async def test_plain_text_behind_the_reply_to_starttls_is_not_believed(
    world: RelayWorld, certificate: trustme.LeafCert, tls: str
) -> None:
    """It would be taken for what the host says under TLS; and whoever put it there shall not get plain text for it."""
    replies = {"STARTTLS": ["220 Go ahead\n250-evil.example\n250 SIZE 1", "220 Go ahead"]}
    async with NextHop(certificate=certificate, replies=replies) as hop:
        outcome = await world.relay_one(hop, tls=tls)
        assert outcome.result is Result.DEFERRED
        assert (hop.connections, hop.transactions) == (1, [])
    assert not world.memory.has_broken_tls(Host("127.0.0.1", "127.0.0.1", hop.port))


def test_the_context_for_next_hops_needs_tls_1_2() -> None:
    assert RelayWorld().agent._context.minimum_version is ssl.TLSVersion.TLSv1_2


def once(first: str, then: Callable[[], str]) -> Callable[[str], str]:
    """A script: that reply the first time, and what the function gives or raises after it."""
    replies = iter([first])
    return lambda _argument: next(replies, None) or then()


def hang_up() -> str:
    raise ConnectionError


@pytest.mark.parametrize("tls", ["may", "encrypt"])
@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda: "421 4.3.2 Busy", id="busy"),
        pytest.param(lambda: "554 5.7.1 Not you", id="refuses"),
        pytest.param(lambda: "no SMTP", id="talks nonsense"),
        pytest.param(hang_up, id="hangs up"),
    ],
)
async def test_trouble_under_tls_is_no_reason_for_plain_text(
    world: RelayWorld, certificate: trustme.LeafCert, tls: str, then: Callable[[], str]
) -> None:
    """The handshake was good, so whatever follows would be the same without TLS, or is somebody's attack."""
    replies = {"EHLO": once("250-hop.example\n250 STARTTLS", then)}
    async with NextHop(certificate=certificate, replies=replies) as hop:
        assert (await world.relay_one(hop, tls=tls)).result is Result.DEFERRED
        assert (hop.connections, hop.transactions) == (1, [])
    host = Host("127.0.0.1", "127.0.0.1", hop.port)
    assert not world.memory.has_broken_tls(host)


@pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
async def test_a_host_that_wants_our_certificate_is_one_whose_handshake_fails(
    world: RelayWorld, certificate: trustme.LeafCert, tls: str, result: Result
) -> None:
    """With TLS 1.3 it says so when our part of the handshake is done."""
    async with NextHop(certificate=certificate, asks_for_certificate=True) as hop:
        assert (await world.relay_one(hop, tls=tls)).result is result
        assert [transaction.tls for transaction in hop.taken] == ([False] if result is Result.RELAYED else [])


async def test_a_host_that_hangs_up_at_starttls_is_not_asked_for_more(
    world: RelayWorld, certificate: trustme.LeafCert
) -> None:
    async with NextHop(certificate=certificate, replies={"STARTTLS": "421 4.3.2 Bye"}) as hop:
        outcome = await world.relay_one(hop)
        assert (outcome.result, str(outcome.reply)) == (Result.DEFERRED, "421 4.3.2 Bye")
        assert hop.commands[-1] == "STARTTLS"


async def test_what_was_offered_before_tls_counts_no_more(world: RelayWorld, certificate: trustme.LeafCert) -> None:
    """RFC 3207 §4.2."""
    replies = {"EHLO": once("250-hop.example\n250-SIZE 10\n250 STARTTLS", lambda: "251 hop.example")}
    async with NextHop(certificate=certificate, replies=replies) as hop:
        assert (await world.relay_one(hop)).result is Result.RELAYED
