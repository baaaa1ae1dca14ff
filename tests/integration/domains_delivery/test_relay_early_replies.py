"""A next hop answers before it is asked: that is no answer, and no message counts as taken by it."""

import pytest
import trustme

from delivery_world import OCTETS, make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, WITHOUT_PIPELINING, RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_shared.mail.content import Content

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 500_000  # more than the system buffers


@pytest.mark.parametrize(
    ("replies", "commands"),
    [
        pytest.param({"greeting": "220 hop.example\n250 hop.example"}, [], id="EHLO"),
        pytest.param({"EHLO": "250 hop.example\n250 2.1.0 Ok"}, ["EHLO"], id="MAIL"),
        pytest.param({"MAIL": "250 2.1.0 Ok\n250 2.1.5 Ok"}, ["EHLO", "MAIL"], id="RCPT"),
        pytest.param({"RCPT": "250 2.1.5 Ok\n354 Go ahead"}, ["EHLO", "MAIL", "RCPT"], id="DATA"),
        pytest.param({"DATA": "354 Go ahead\n250 2.0.0 Taken"}, ["EHLO", "MAIL", "RCPT", "DATA"], id="content"),
    ],
)
async def test_a_reply_to_what_was_not_sent_yet_defers(
    world: RelayWorld, replies: dict[str, str], commands: list[str]
) -> None:
    async with NextHop(replies=replies, extensions=WITHOUT_PIPELINING) as hop:
        outcome = await world.relay_one(hop)
        await hop.wait_until(lambda hop: hop.is_quiet)  # cut at once
        assert [command.partition(" ")[0] for command in hop.commands] == commands
        assert hop.taken == []
    assert outcome.result is Result.DEFERRED
    assert "before it was asked" in outcome.reply.text


@pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])
async def test_a_250_that_stands_behind_the_354_of_a_burst_takes_no_message(world: RelayWorld, stored: bool) -> None:
    content = world.store.put("small", OCTETS) if stored else Content.of(OCTETS)
    async with NextHop(replies={"DATA": "354 Go ahead\n250 2.0.0 Taken"}) as hop:
        assert (await world.relay(make_message(BOB, content=content), hop))[BOB].result is Result.DEFERRED
        assert hop.taken == []


@pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])
async def test_a_250_that_comes_while_the_content_is_still_on_its_way_takes_no_message(
    world: RelayWorld, stored: bool
) -> None:
    content = world.store.put("large", LARGE) if stored else Content.of(LARGE)
    async with NextHop(replies={"content": "250 2.0.0 Taken"}, reads_content=False) as hop:
        outcome = (await world.relay(make_message(BOB, content=content), hop))[BOB]
    assert outcome.result is Result.DEFERRED


async def test_a_refusal_that_comes_while_large_content_is_on_its_way_is_heard_at_once(world: RelayWorld) -> None:
    content = world.store.put("large", LARGE)
    async with NextHop(replies={"content": "552 5.3.4 Too much"}, reads_content=False) as hop:
        outcome = (await world.relay(make_message(BOB, content=content), hop))[BOB]
    assert (outcome.result, str(outcome.reply)) == (Result.FAILED, "552 5.3.4 Too much")


@BOTH_WAYS
@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
async def test_a_reply_too_many_ends_the_session(world: RelayWorld, extensions: list[str], step: str) -> None:
    """With a burst only the shift of the replies shows it: DATA seems to be answered by 250."""
    script = {step: ["250 Ok\n250 Ok", "250 Ok"]}
    async with NextHop(replies=script, extensions=extensions) as hop:
        assert (await world.relay_one(hop)).result is Result.DEFERRED
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert hop.taken == []
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 2


@BOTH_WAYS
@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
async def test_a_reply_that_is_none_to_the_command_ends_the_session(
    world: RelayWorld, extensions: list[str], step: str
) -> None:
    async with NextHop(replies={step: "354 Go ahead"}, extensions=extensions) as hop:
        assert (await world.relay_one(hop)).result is Result.DEFERRED
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert hop.taken == []


@pytest.mark.parametrize("unasked", ["250 2.1.0 Ok", "421 4.3.2 Bye", "220 hop.example", "nonsense"])
async def test_what_was_said_while_idle_answers_nothing(world: RelayWorld, unasked: str) -> None:
    async with NextHop(replies={"content": [f"250 2.0.0 Taken\n{unasked}", "250 2.0.0 Taken"]}) as hop:
        for _ in range(2):
            assert str((await world.relay_one(hop)).reply) == "250 2.0.0 Taken"
        assert (hop.connections, len(hop.taken)) == (2, 2)


async def test_a_host_that_said_421_gets_no_more_commands(world: RelayWorld) -> None:
    """RFC 5321 §3.8: it is closing; a reply that it leaves behind would be taken for that to the next message."""
    async with NextHop(replies={"content": ["421 4.3.2 Bye", "250 2.0.0 Taken"]}) as hop:
        assert (await world.relay_one(hop)).result is Result.DEFERRED
        await hop.wait_until(lambda hop: hop.is_quiet)
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert (hop.connections, hop.commands.count("RSET")) == (2, 0)


async def test_a_reply_too_many_under_tls_defers(world: RelayWorld, certificate: trustme.LeafCert) -> None:
    replies = {"EHLO": ["250-hop.example\n250 STARTTLS", "250 hop.example\n250 2.1.0 Ok"]}
    async with NextHop(certificate=certificate, replies=replies) as hop:
        assert (await world.relay_one(hop)).result is Result.DEFERRED
        assert hop.transactions == []
