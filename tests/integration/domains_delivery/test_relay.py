"""Relaying to next hops that do what the test's script says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import trustme

from delivery_world import OCTETS, TOP, make_message
from next_hop import USUAL_EXTENSIONS, NextHop
from tripost_domains.delivery.outcome import Outcome, Result, Trial
from tripost_domains.delivery.relay.agent import RelayAgent
from tripost_domains.delivery.relay.finder import HostFinder
from tripost_domains.delivery.relay.gate import Gate, GateLimits
from tripost_domains.delivery.relay.memory import HostMemory
from tripost_domains.delivery.relay.pool import SessionPool
from tripost_domains.delivery.relay.reach import Reach
from tripost_domains.delivery.relay.session import Patience
from tripost_domains.directory import model
from tripost_domains.directory.model import HopKind
from tripost_shared.clock import SystemClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.content import Content

BOB, EVE = "bob@other.example", "eve@other.example"
WITHOUT_PIPELINING = [keyword for keyword in USUAL_EXTENSIONS if keyword != "PIPELINING"]
BOTH_WAYS = pytest.mark.parametrize(
    "extensions", [USUAL_EXTENSIONS, WITHOUT_PIPELINING], ids=["pipelined", "one by one"]
)


class World:
    """A relay agent with what it needs."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.dns = TableResolver()
        self.store = MemoryContentStore()
        self.pool = SessionPool(clock, idle_seconds=10, max_transactions=3)
        self.finder = HostFinder(self.dns, ["mail.ours.example"], reach=Reach(loopback=True))
        self.memory = HostMemory(clock, timedelta(seconds=60))
        patience = Patience(connect=2, greeting=0.5, command=0.5, block=2, final=0.5)
        gate = Gate(GateLimits(patience=timedelta(seconds=5)))
        self.agent = RelayAgent(self.finder, self.memory, self.pool, gate, self.store, "mail.ours.example", patience)

    async def relay(
        self, message: SpooledMessage, hop: NextHop, *recipients: str, tls: str = "may", began_at: float | None = None
    ) -> dict[str, Outcome]:
        """Relay to a hop as a smarthost."""
        next_hop = model.NextHop(HopKind.SMARTHOST, hop.host, hop.port, tls)
        return await self.agent.relay(message, next_hop, recipients or (BOB,), Trial(began_at=began_at))

    async def relay_one(self, hop: NextHop, **options: str) -> Outcome:
        """Relay a usual message to Bob."""
        return (await self.relay(make_message(BOB), hop, tls=options.get("tls", "may")))[BOB]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.pool.close()


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert("hop.example")


@BOTH_WAYS
async def test_the_octets_arrive_as_they_were(world: World, extensions: list[str]) -> None:
    async with NextHop(extensions=extensions) as hop:
        outcome = await world.relay_one(hop)
        (transaction,) = hop.taken
    assert outcome.result is Result.RELAYED
    assert str(outcome.reply) == "250 2.0.0 Taken"
    assert outcome.host == f"127.0.0.1[127.0.0.1]:{hop.port}"
    assert transaction.content == TOP + OCTETS
    assert transaction.wire == TOP + OCTETS.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    assert transaction.recipients == [BOB]
    assert transaction.mail == f"FROM:<ann@sender.example> SIZE={len(TOP + OCTETS)}"
    assert hop.commands[0] == "EHLO mail.ours.example"


async def test_large_content_is_streamed_from_the_store(world: World) -> None:
    octets = b"Subject: large\r\n\r\n" + b".0123456789abcdef\r\n" * 100_000
    message = make_message(BOB, content=world.store.put("large", octets))
    async with NextHop() as hop:
        assert (await world.relay(message, hop))[BOB].result is Result.RELAYED
        assert hop.taken[0].content == TOP + octets


@BOTH_WAYS
async def test_each_recipient_has_its_own_reply(world: World, extensions: list[str]) -> None:
    def answer(argument: str) -> str:
        return "550 5.1.1 No such user" if "bob" in argument else "450 4.2.1 Busy" if "carl" in argument else "250 Ok"

    async with NextHop(replies={"RCPT": answer}, extensions=extensions) as hop:
        outcomes = await world.relay(make_message(BOB), hop, BOB, "carl@other.example", EVE)
    assert [outcome.result for outcome in (outcomes[BOB], outcomes["carl@other.example"], outcomes[EVE])] == [
        Result.FAILED,
        Result.DEFERRED,
        Result.RELAYED,
    ]
    assert outcomes[BOB].reply.enhanced == "5.1.1"
    assert outcomes[BOB].remote_mta == "127.0.0.1"
    assert hop.taken[0].recipients == [EVE]


@BOTH_WAYS
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "content"])
@pytest.mark.parametrize(("code", "result"), [(451, Result.DEFERRED), (554, Result.FAILED)])
async def test_a_refusal_counts_at_every_step(
    world: World, extensions: list[str], step: str, code: int, result: Result
) -> None:
    replies = {step: f"{code} {code // 100}.7.0 Not you"}
    async with NextHop(replies=replies, extensions=extensions) as hop:
        outcome = await world.relay_one(hop)
        assert hop.taken == []
    assert outcome.result is result
    assert str(outcome.reply) == f"{code} {code // 100}.7.0 Not you"


@BOTH_WAYS
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("way", ["drop_at", "silent_at"])
async def test_a_host_that_goes_or_falls_silent_is_a_deferral(
    world: World, extensions: list[str], step: str, way: str
) -> None:
    async with NextHop(extensions=extensions, drop_at={step} if way == "drop_at" else (), silent_at={step}) as hop:
        outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.DEFERRED, "4.4.2")
    assert "duplicate" not in outcome.detail


@pytest.mark.parametrize("way", ["drop_at", "silent_at"])
async def test_a_lost_250_is_a_deferral_that_names_the_uncertainty(world: World, way: str) -> None:
    async with NextHop(drop_at={"content"} if way == "drop_at" else (), silent_at={"content"}) as hop:
        outcome = await world.relay_one(hop)
        assert len(hop.taken) == 1
    assert outcome.result is Result.DEFERRED
    assert "duplicate" in outcome.detail


async def test_a_refused_recipient_stays_refused_when_the_host_goes_after_it(world: World) -> None:
    def answer(argument: str) -> str:
        return "550 5.1.1 No such user" if "bob" in argument else "250 Ok"

    async with NextHop(replies={"RCPT": answer}, drop_at={"DATA"}) as hop:
        outcomes = await world.relay(make_message(BOB), hop, BOB, EVE)
    assert (outcomes[BOB].result, outcomes[EVE].result) == (Result.FAILED, Result.DEFERRED)


async def test_a_host_that_refuses_and_hangs_up_has_refused(world: World) -> None:
    async with NextHop(replies={"MAIL": "550 5.7.1 Go away"}, drop_at={"RCPT"}) as hop:
        outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.7.1")


async def test_what_is_no_smtp_is_a_deferral(world: World) -> None:
    async with NextHop(replies={"greeting": "200 OK\nContent-Type: text/html"}) as hop:
        outcome = await world.relay_one(hop)
    assert outcome.result is Result.DEFERRED


async def test_nobody_listening_is_a_deferral(world: World) -> None:
    async with NextHop() as hop:
        pass
    outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.DEFERRED, "4.4.1")
    assert "refused" in outcome.reply.text.lower()


@pytest.mark.parametrize(("greeting", "result"), [("554 No", Result.DEFERRED), ("521 Never", Result.FAILED)])
async def test_a_greeting_that_refuses(world: World, greeting: str, result: Result) -> None:
    async with NextHop(replies={"greeting": greeting}) as hop:
        assert (await world.relay_one(hop)).result is result


async def test_helo_is_tried_where_ehlo_is_unknown(world: World) -> None:
    async with NextHop(replies={"EHLO": "502 What?"}) as hop:
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.commands[:3] == [
            "EHLO mail.ours.example",
            "HELO mail.ours.example",
            "MAIL FROM:<ann@sender.example>",
        ]


async def test_data_that_was_accepted_for_nobody_is_ended_empty(world: World) -> None:
    """RFC 2920 §3.1: the host has said 354 although it refused every recipient."""
    replies = {"RCPT": "550 5.1.1 No such user", "DATA": "354 Go ahead", "content": "554 5.5.1 No recipients"}
    async with NextHop(replies=replies) as hop:
        assert (await world.relay_one(hop)).reply.enhanced == "5.1.1"
        assert hop.transactions[0].content == b""
        hop.replies.clear()
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 1


class TestHosts:
    """Several hosts of one next hop."""

    async def relay(self, world: World, *hops: NextHop) -> Outcome:
        """Relay to a domain whose MX hosts are these, in order; ports stand for addresses."""
        hosts = [f"dest.example MX {10 * number} mx{number}.example" for number, _ in enumerate(hops, 1)]
        for record in hosts:
            world.dns.add(record)
        for number, _ in enumerate(hops, 1):
            world.dns.add(f"mx{number}.example A 127.0.0.{number}")
        world.finder._mx_port = hops[0].port
        hop = model.NextHop(HopKind.MX, "dest.example")
        return (await world.agent.relay(make_message(BOB), hop, [BOB], Trial()))[BOB]

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param({"replies": {"greeting": "421 Busy"}}, id="busy"),
            pytest.param({"replies": {"greeting": "554 No"}}, id="refuses"),
            pytest.param({"drop_at": {"EHLO"}}, id="goes at EHLO"),
            pytest.param({"drop_at": {"DATA"}}, id="goes at DATA"),
        ],
    )
    async def test_the_next_host_is_tried(self, world: World, script: dict[str, dict[str, str]]) -> None:
        async with NextHop(**script) as first, NextHop(host="127.0.0.2", port=first.port) as second:  # type: ignore[arg-type]
            outcome = await self.relay(world, first, second)
            assert outcome.result is Result.RELAYED
            assert outcome.host == f"mx2.example[127.0.0.2]:{second.port}"
            assert len(second.taken) == 1

    async def test_a_lost_250_is_not_tried_elsewhere(self, world: World) -> None:
        """It would be a duplicate at once."""
        async with NextHop(drop_at={"content"}) as first, NextHop(host="127.0.0.2", port=first.port) as second:
            assert (await self.relay(world, first, second)).result is Result.DEFERRED
            assert second.connections == 0

    async def test_a_refusal_is_not_taken_elsewhere(self, world: World) -> None:
        async with (
            NextHop(replies={"RCPT": "550 5.1.1 No"}) as first,
            NextHop(host="127.0.0.2", port=first.port) as second,
        ):
            assert (await self.relay(world, first, second)).result is Result.FAILED
            assert second.connections == 0


async def test_a_dead_host_is_remembered_for_new_messages_and_tried_by_the_queue(world: World) -> None:
    async with NextHop(replies={"greeting": "421 Busy"}) as hop:
        for _ in range(2):
            assert (await world.relay_one(hop)).result is Result.DEFERRED
        assert hop.connections == 1
        hop.replies.clear()
        later = await world.relay(make_message(BOB), hop, began_at=SystemClock().monotonic())
        assert later[BOB].result is Result.RELAYED
        assert (await world.relay_one(hop)).result is Result.RELAYED


class TestReuse:
    """Sessions serve several messages."""

    async def test_the_next_message_goes_over_the_same_session(self, world: World) -> None:
        async with NextHop() as hop:
            for _ in range(3):
                assert (await world.relay_one(hop)).result is Result.RELAYED
            assert hop.connections == 1
            await hop.wait_until(lambda hop: "QUIT" in hop.commands)  # after three, as the world has it
            assert (await world.relay_one(hop)).result is Result.RELAYED
            assert hop.connections == 2

    async def test_a_refused_message_is_followed_by_rset(self, world: World) -> None:
        async with NextHop(replies={"content": ["554 5.6.0 No", "250 Ok"]}) as hop:
            assert (await world.relay_one(hop)).result is Result.FAILED
            assert (await world.relay_one(hop)).result is Result.RELAYED
            assert (hop.connections, hop.commands.count("RSET")) == (1, 1)

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param({"MAIL": ["250 Ok", "421 4.4.2 Idle for too long", "250 Ok"]}, id="421 at MAIL"),
            pytest.param({"RSET": "421 Bye", "content": ["450 Later", "250 Ok"]}, id="421 at RSET"),
        ],
    )
    async def test_a_session_that_has_ended_meanwhile_costs_nothing(
        self, world: World, script: dict[str, list[str]]
    ) -> None:
        async with NextHop(replies=script) as hop:
            await world.relay_one(hop)
            assert (await world.relay_one(hop)).result is Result.RELAYED
            assert hop.connections == 2

    async def test_a_session_that_was_cut_while_idle_is_not_used(self, world: World) -> None:
        async with NextHop() as hop:
            await world.relay_one(hop)
            hop.cut()
            assert (await world.relay_one(hop)).result is Result.RELAYED

    async def test_idle_sessions_are_closed(self, world: World) -> None:
        async with NextHop() as hop:
            await world.relay_one(hop)
            await world.pool.close()
            await hop.wait_until(lambda hop: hop.commands[-1] == "QUIT")


class TestTls:
    """STARTTLS by "none", "may" and "encrypt"."""

    @pytest.mark.parametrize(("tls", "encrypted"), [("none", False), ("may", True), ("encrypt", True)])
    async def test_it_is_used_when_wanted_and_offered(
        self,
        world: World,
        certificate: trustme.LeafCert,
        tls: str,
        encrypted: bool,
    ) -> None:
        async with NextHop(certificate=certificate) as hop:
            assert (await world.relay_one(hop, tls=tls)).result is Result.RELAYED
            assert hop.taken[0].tls is encrypted
            assert hop.taken[0].content == TOP + OCTETS

    @pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
    async def test_it_is_not_offered(self, world: World, tls: str, result: Result) -> None:
        async with NextHop() as hop:
            assert (await world.relay_one(hop, tls=tls)).result is result

    @pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
    async def test_starttls_is_refused(
        self, world: World, certificate: trustme.LeafCert, tls: str, result: Result
    ) -> None:
        async with NextHop(certificate=certificate, replies={"STARTTLS": "454 4.7.0 Not now"}) as hop:
            assert (await world.relay_one(hop, tls=tls)).result is result
            assert hop.connections == 1

    @pytest.mark.parametrize(("tls", "result"), [("may", Result.RELAYED), ("encrypt", Result.DEFERRED)])
    async def test_the_handshake_fails(self, world: World, tls: str, result: Result) -> None:
        """Opportunistic TLS goes on in plain text, over a new connection."""
        async with NextHop(breaks_tls=True) as hop:
            outcome = await world.relay_one(hop, tls=tls)
            assert outcome.result is result
            assert [transaction.tls for transaction in hop.taken] == ([False] if result is Result.RELAYED else [])

    async def test_broken_tls_is_remembered(self, world: World) -> None:
        async with NextHop(breaks_tls=True, replies={"content": "450 Later"}) as hop:
            for _ in range(2):
                await world.relay_one(hop)
                await world.pool.close()
            assert hop.commands.count("STARTTLS") == 1

    async def test_plain_text_behind_the_reply_to_starttls_is_not_believed(
        self, world: World, certificate: trustme.LeafCert
    ) -> None:
        """It would be taken for what the host says under TLS."""
        replies = {"STARTTLS": ["220 Go ahead\n250-evil.example\n250 SIZE 1", "220 Go ahead"]}
        async with NextHop(certificate=certificate, replies=replies) as hop:
            outcome = await world.relay_one(hop, tls="encrypt")
            assert outcome.result is Result.DEFERRED
            assert hop.transactions == []


class TestAbilities:
    """What the message needs and the host does not offer."""

    async def test_parameters_are_sent_where_they_are_understood(self, world: World) -> None:
        content = Content.of("Subject: grüße\r\n\r\ngrüße\r\n".encode())
        message = make_message("grüße@other.example", smtputf8=True, eight_bit=True, content=content)
        async with NextHop() as hop:
            outcomes = await world.relay(message, hop, "grüße@other.example")
            assert outcomes["grüße@other.example"].result is Result.RELAYED
            assert hop.taken[0].mail.endswith(" BODY=8BITMIME SMTPUTF8")
            assert hop.taken[0].recipients == ["grüße@other.example"]

    @pytest.mark.parametrize(
        ("octets", "result", "enhanced"),
        [
            pytest.param(b"Subject: x\r\n\r\nplain\r\n", Result.RELAYED, "2.0.0", id="declared but not used"),
            pytest.param("Subject: x\r\n\r\ngrüße\r\n".encode(), Result.FAILED, "5.6.3", id="used"),
        ],
    )
    async def test_eight_bit_content_is_not_sent_where_it_is_not_taken(
        self, world: World, octets: bytes, result: Result, enhanced: str
    ) -> None:
        """RFC 6152 §3."""
        async with NextHop(extensions=["SIZE"]) as hop:
            outcome = (await world.relay(make_message(BOB, eight_bit=True, content=Content.of(octets)), hop))[BOB]
        assert (outcome.result, outcome.reply.enhanced) == (result, enhanced)

    @pytest.mark.parametrize(
        ("make", "recipient", "result"),
        [
            pytest.param(lambda: make_message(BOB, smtputf8=True), BOB, Result.RELAYED, id="nothing needs it"),
            pytest.param(
                lambda: make_message(BOB, smtputf8=True, content=Content.of("Subject: ü\r\n\r\n".encode())),
                BOB,
                Result.FAILED,
                id="header",
            ),
            pytest.param(lambda: make_message(BOB, reverse_path="ü@sender.example"), BOB, Result.FAILED, id="sender"),
            pytest.param(lambda: make_message("ü@other.example"), "ü@other.example", Result.FAILED, id="recipient"),
        ],
    )
    async def test_internationalised_mail_is_not_sent_where_it_is_not_taken(
        self, world: World, make: Callable[[], SpooledMessage], recipient: str, result: Result
    ) -> None:
        """RFC 6531 §3.2."""
        async with NextHop(extensions=["8BITMIME"]) as hop:
            outcome = (await world.relay(make(), hop, recipient))[recipient]
        assert outcome.result is result
        assert outcome.reply.enhanced in {"2.0.0", "5.6.7"}

    async def test_a_message_larger_than_the_host_takes_is_not_sent(self, world: World) -> None:
        async with NextHop(extensions=["SIZE 100"]) as hop:
            outcome = await world.relay_one(hop)
            assert hop.transactions == []
        assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.3.4")


async def test_content_that_breaks_off_never_ends_as_a_message(world: World) -> None:
    stored = world.store.put("x", OCTETS)
    content = Content(size_octets=stored.size_octets + 1, stored="x")
    async with NextHop() as hop:
        outcome = (await world.relay(make_message(BOB, content=content), hop))[BOB]
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert hop.taken == []
    assert outcome.result is Result.DEFERRED


async def test_a_control_character_in_an_address_is_never_sent(world: World) -> None:
    evil = "bob@other.example>\r\nRSET\r\nRCPT TO:<eve@other.example"
    async with NextHop() as hop:
        outcome = (await world.relay(make_message(evil), hop, evil))[evil]
        assert hop.connections == 0
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.1.3")


async def test_more_recipients_than_one_transaction_takes_go_in_several(world: World) -> None:
    recipients = [f"user{number}@other.example" for number in range(250)]
    async with NextHop() as hop:
        outcomes = await world.relay(make_message(*recipients), hop, *recipients)
        assert [len(transaction.recipients) for transaction in hop.taken] == [100, 100, 50]
        assert hop.connections == 1
    assert {outcome.result for outcome in outcomes.values()} == {Result.RELAYED}


async def test_a_dead_next_hop_does_not_slow_another(world: World) -> None:
    async with NextHop(silent_at={"greeting"}) as dead, NextHop() as alive:
        stuck = asyncio.create_task(world.relay_one(dead))
        await dead.wait_until(lambda hop: hop.connections == 1)
        assert (await world.relay_one(alive)).result is Result.RELAYED
        assert not stuck.done()
        assert (await stuck).result is Result.DEFERRED


def test_the_context_for_next_hops_needs_tls_1_2() -> None:
    assert World().agent._context.minimum_version is ssl.TLSVersion.TLSv1_2
