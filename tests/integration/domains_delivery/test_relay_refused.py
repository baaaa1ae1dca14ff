"""A next hop refuses the message, or cannot be given it."""

from collections.abc import Callable

import pytest

from delivery_world import make_message
from next_hop import NextHop
from relay_world import BOB, BOTH_WAYS, EVE, RelayWorld
from tripost_domains.delivery.outcome import Result
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content


@BOTH_WAYS
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "content"])
@pytest.mark.parametrize(("code", "result"), [(451, Result.DEFERRED), (554, Result.FAILED)])
async def test_a_refusal_counts_at_every_step(
    world: RelayWorld, extensions: list[str], step: str, code: int, result: Result
) -> None:
    replies = {step: f"{code} {code // 100}.7.0 Not you"}
    async with NextHop(replies=replies, extensions=extensions) as hop:
        outcome = await world.relay_one(hop)
        assert hop.taken == []
    assert outcome.result is result
    assert str(outcome.reply) == f"{code} {code // 100}.7.0 Not you"


async def test_a_refused_recipient_stays_refused_when_the_host_goes_after_it(world: RelayWorld) -> None:
    def answer(argument: str) -> str:
        return "550 5.1.1 No such user" if "bob" in argument else "250 Ok"

    async with NextHop(replies={"RCPT": answer}, drop_at={"DATA"}) as hop:
        outcomes = await world.relay(make_message(BOB), hop, BOB, EVE)
    assert (outcomes[BOB].result, outcomes[EVE].result) == (Result.FAILED, Result.DEFERRED)


async def test_a_host_that_refuses_and_hangs_up_has_refused(world: RelayWorld) -> None:
    async with NextHop(replies={"MAIL": "550 5.7.1 Go away"}, drop_at={"RCPT"}) as hop:
        outcome = await world.relay_one(hop)
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.7.1")


@pytest.mark.parametrize(("greeting", "result"), [("554 No", Result.DEFERRED), ("521 Never", Result.FAILED)])
async def test_a_greeting_that_refuses(world: RelayWorld, greeting: str, result: Result) -> None:
    async with NextHop(replies={"greeting": greeting}) as hop:
        assert (await world.relay_one(hop)).result is result


async def test_data_that_was_accepted_for_nobody_is_ended_empty(world: RelayWorld) -> None:
    """RFC 2920 §3.1: the host has said 354 although it refused every recipient."""
    replies = {"RCPT": "550 5.1.1 No such user", "DATA": "354 Go ahead", "content": "554 5.5.1 No recipients"}
    async with NextHop(replies=replies) as hop:
        assert (await world.relay_one(hop)).reply.enhanced == "5.1.1"
        assert hop.transactions[0].content == b""
        hop.replies.clear()
        assert (await world.relay_one(hop)).result is Result.RELAYED
        assert hop.connections == 1


async def test_a_control_character_in_an_address_is_never_sent(world: RelayWorld) -> None:
    evil = "bob@other.example>\r\nRSET\r\nRCPT TO:<eve@other.example"
    async with NextHop() as hop:
        outcome = (await world.relay(make_message(evil), hop, evil))[evil]
        assert hop.connections == 0
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.1.3")


async def test_a_refusal_is_not_taken_elsewhere(world: RelayWorld) -> None:
    async with (
        NextHop(replies={"RCPT": "550 5.1.1 No"}) as first,
        NextHop(host="127.0.0.2", port=first.port) as second,
    ):
        assert (await world.relay_by_mx(first, second)).result is Result.FAILED
        assert second.connections == 0


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
    world: RelayWorld, make: Callable[[], SpooledMessage], recipient: str, result: Result
) -> None:
    """RFC 6531 §3.2."""
    async with NextHop(extensions=["8BITMIME"]) as hop:
        outcome = (await world.relay(make(), hop, recipient))[recipient]
    assert outcome.result is result
    assert outcome.reply.enhanced in {"2.0.0", "5.6.7"}


async def test_a_message_larger_than_the_host_takes_is_not_sent(world: RelayWorld) -> None:
    async with NextHop(extensions=["SIZE 100"]) as hop:
        outcome = await world.relay_one(hop)
        assert hop.transactions == []
    assert (outcome.result, outcome.reply.enhanced) == (Result.FAILED, "5.3.4")
