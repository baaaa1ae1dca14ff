"""A next hop takes the message."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from delivery_world import OCTETS, TOP, make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, EVE, RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_domains.delivery.relay.gate import GateLimits
from tripost_shared.mail.content import Content


@BOTH_WAYS
async def test_the_octets_arrive_as_they_were(world: RelayWorld, extensions: list[str]) -> None:
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


async def test_large_content_is_streamed_from_the_store(world: RelayWorld) -> None:
    octets = b"Subject: large\r\n\r\n" + b".0123456789abcdef\r\n" * 100_000
    message = make_message(BOB, content=world.store.put("large", octets))
    async with NextHop() as hop:
        assert (await world.relay(message, hop))[BOB].result is Result.RELAYED
        assert hop.taken[0].content == TOP + octets


async def test_helo_is_tried_where_ehlo_is_unknown(world: RelayWorld) -> None:
    async with NextHop(replies={"EHLO": "502 What?"}) as hop:
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.commands[:3] == [
            "EHLO mail.ours.example",
            "HELO mail.ours.example",
            "MAIL FROM:<ann@sender.example>",
        ]


async def test_more_recipients_than_one_transaction_takes_go_in_several(world: RelayWorld) -> None:
    recipients = [f"user{number}@other.example" for number in range(250)]
    async with NextHop() as hop:
        outcomes = await world.relay(make_message(*recipients), hop, *recipients)
        assert [len(transaction.recipients) for transaction in hop.taken] == [100, 100, 50]
        assert hop.connections == 1
    assert {outcome.result for outcome in outcomes.values()} == {Result.RELAYED}


async def test_recipients_beyond_one_transaction_have_its_turn_whoever_waits() -> None:
    """They would find the waiting room full, and be put into the queue for nothing."""
    world = RelayWorld(limits=GateLimits(active=1, waiting=1, quick=timedelta(0)))
    recipients = [f"user{number}@other.example" for number in range(250)]
    async with NextHop() as hop, asyncio.TaskGroup() as group:
        large = group.create_task(world.relay(make_message(*recipients), hop, *recipients))
        await hop.wait_until(lambda hop: hop.connections == 1)
        small = group.create_task(world.relay_one(hop))
        assert {outcome.result for outcome in (await large).values()} == {Result.RELAYED}
        assert (await small).result is Result.RELAYED
        assert [len(transaction.recipients) for transaction in hop.taken] == [100, 100, 50, 1]
        await world.pool.close()


@BOTH_WAYS
async def test_each_recipient_has_its_own_reply(world: RelayWorld, extensions: list[str]) -> None:
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


async def test_parameters_are_sent_where_they_are_understood(world: RelayWorld) -> None:
    content = Content.of("Subject: grüße\r\n\r\ngrüße\r\n".encode())
    message = make_message("grüße@other.example", smtputf8=True, eight_bit=True, content=content)
    async with NextHop() as hop:
        outcomes = await world.relay(message, hop, "grüße@other.example")
        assert outcomes["grüße@other.example"].result is Result.RELAYED
        assert hop.taken[0].mail.endswith(" BODY=8BITMIME SMTPUTF8")
        assert hop.taken[0].recipients == ["grüße@other.example"]


@pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])
@pytest.mark.parametrize("offered", [True, False], ids=["8BITMIME offered", "not offered"])
async def test_eight_bit_content_arrives_as_it_was_and_is_declared_where_that_is_understood(
    world: RelayWorld, offered: bool, stored: bool
) -> None:
    """RFC 6152 §2; a host that does not offer 8BITMIME gets it, too (ADR 19)."""
    octets = "Subject: x\r\n\r\ngrüße\r\n".encode()
    content = world.store.put("eight", octets) if stored else Content.of(octets)
    message = make_message(BOB, eight_bit=True, content=content)
    async with NextHop(extensions=["8BITMIME"] if offered else []) as hop:
        assert (await world.relay(message, hop))[BOB].result is Result.RELAYED
        assert hop.taken[0].content == TOP + octets
        assert hop.taken[0].mail == "FROM:<ann@sender.example>" + (" BODY=8BITMIME" if offered else "")


async def test_a_trace_with_octets_above_127_makes_a_message_eight_bit(world: RelayWorld) -> None:
    message = replace(make_message(BOB), header_fields="X-Found: grüße\r\n".encode())
    async with NextHop() as hop:
        assert (await world.relay(message, hop))[BOB].result is Result.RELAYED
        assert hop.taken[0].mail.endswith(" BODY=8BITMIME")


async def test_a_host_that_refuses_eight_bit_content_has_the_word(world: RelayWorld) -> None:
    octets = "Subject: x\r\n\r\ngrüße\r\n".encode()
    message = make_message(BOB, eight_bit=True, content=Content.of(octets))
    async with NextHop(extensions=[], replies={"content": "554 5.6.3 No 8-bit mail"}) as hop:
        outcome = (await world.relay(message, hop))[BOB]
    assert (outcome.result, str(outcome.reply)) == (Result.FAILED, "554 5.6.3 No 8-bit mail")


@BOTH_WAYS
async def test_a_recipient_that_an_alias_led_to_is_named_as_what_it_is(
    world: RelayWorld, extensions: list[str]
) -> None:
    """The client wrote to a plain address and declared nothing (RFC 6531 §3.4)."""
    async with NextHop(extensions=extensions) as hop:
        outcomes = await world.relay(make_message(BOB), hop, "grüße@other.example")
        assert outcomes["grüße@other.example"].result is Result.RELAYED
        assert hop.taken[0].mail.endswith(" SMTPUTF8")


@pytest.mark.parametrize("stored", [False, True], ids=["inline", "stored"])
async def test_content_without_a_header_does_not_continue_our_trace(world: RelayWorld, stored: bool) -> None:
    octets = b" continued\r\nbody\r\n"
    content = world.store.put("odd", octets) if stored else Content.of(octets)
    async with NextHop() as hop:
        assert (await world.relay(make_message(BOB, content=content), hop))[BOB].result is Result.RELAYED
        assert hop.taken[0].content == TOP + b"\r\n" + octets
