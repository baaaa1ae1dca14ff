"""RCPT: who is taken, who is not, and how many."""

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.domains import RecipientKind, ResolveQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, RecipientsQuestion, Verdict
from tripost_shared.mail.reply import SmtpReply

Start = Callable[..., Awaitable[EdgeWorld]]
LATER = Verdict(Action.DEFER, reply=SmtpReply(451, "4.7.1", "Come back later"))


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        pytest.param("<nobody@dest.example>", "550 5.1.1 *", id="unknown"),
        pytest.param("<off@dest.example>", "550 5.2.1 *", id="disabled"),
        pytest.param("<far@elsewhere.example>", "550 5.7.1 Relaying denied (*)", id="foreign"),
        pytest.param("<x@relayed.example>", "250 2.1.5 *", id="domain that we relay for"),
        pytest.param("<postmaster>", "250 2.1.5 *", id="bare postmaster"),
        pytest.param("<@hop.example:ann@dest.example>", "250 2.1.5 *", id="source route is dropped"),
        pytest.param("<ann@dest.example> FROM=NEVER", "555 5.5.4 *", id="parameter that is not offered"),
        pytest.param("<>", "501 5.1.3 *", id="null path"),
        pytest.param("<ann@@dest.example>", "501 5.1.3 *", id="malformed address"),
        pytest.param("ann@dest.example", "501 5.5.4 *", id="no angle brackets"),
        pytest.param("<änn@dest.example>", "553 5.6.7 *", id="UTF-8 without SMTPUTF8"),
    ],
)
async def test_recipients_are_verified_at_rcpt(dialog: Dialog, recipient: str, reply: str) -> None:
    await dialog(f"C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:{recipient}\nS: {reply}")


@pytest.mark.parametrize(
    "local_part",
    [
        pytest.param("x%elsewhere.example", id="percent hack"),
        pytest.param("elsewhere.example!x", id="bang path"),
        pytest.param('"x@elsewhere.example"', id="quoted address"),
    ],
)
async def test_through_a_relayed_domain_strangers_reach_no_other(world: EdgeWorld, local_part: str) -> None:
    """Its host may take the local part for an address. Who may relay anyway may send to it, and opens no door."""
    recipient = f"{local_part}@relayed.example"
    world.tiers.kinds[recipient] = RecipientKind.RELAY
    attempt = f"C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<{recipient}>\nS: "
    world.edge.take_config(EdgeConfig(revision=1, relay_networks=("127.0.0.1/32",)))
    async with await world.greeted() as client:
        await client(attempt + "250 2.1.5 *")
    world.edge.take_config(EdgeConfig(revision=2))
    async with await world.greeted() as client:
        await client(attempt + "550 5.7.1 Relaying denied (*)")


async def test_pipelined_recipients_make_one_question_to_each_tier(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("""C: MAIL FROM:<a@b.example>
                    C: RCPT TO:<ann@dest.example>
                    C: RCPT TO:<nobody@dest.example>
                    C: RCPT TO:<bob@dest.example>
                    C: DATA
                    S: 250 *
                    S: 250 *
                    S: 550 *
                    S: 250 *
                    S: 354 *
                    C: .
                    S: 250 *""")
    assert [question.recipients for question in world.tiers.questions(ResolveQuestion)] == [
        ("ann@dest.example", "nobody@dest.example", "bob@dest.example")
    ]
    assert [question.recipients for question in world.tiers.questions(RecipientsQuestion)] == [
        ("ann@dest.example", "bob@dest.example")
    ]
    (message,) = world.spooled
    assert [one.address for one in message.envelope.recipients] == ["ann@dest.example", "bob@dest.example"]
    assert b" for <" not in message.header_fields


async def test_the_hundred_and_first_recipient_is_asked_to_come_separately(world: EdgeWorld, dialog: Dialog) -> None:
    addresses = [f"r{number}@relayed.example" for number in range(101)]
    world.tiers.kinds.update(dict.fromkeys(addresses, world.tiers.kinds["x@relayed.example"]))
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    dialog.send("".join(f"RCPT TO:<{address}>\r\n" for address in addresses).encode())
    replies = [await dialog.read_reply() for _ in addresses]
    assert [reply[:3] for reply in replies] == ["250"] * 100 + ["452"]
    assert fnmatchcase(replies[-1], "452 4.5.3 Too many recipients* (*.1)")


async def test_a_client_on_a_block_list_is_refused_at_rcpt(world: EdgeWorld) -> None:
    world.tiers.connection = Verdict(Action.REJECT, reply=SmtpReply(554, "5.7.1", "Listed"))
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 554 5.7.1 Listed (*.1)")


def deferred(world: EdgeWorld, count: int) -> list[str]:
    """Let the filter ask for so many recipients again later; gives their RCPT commands."""
    addresses = [f"r{number}@dest.example" for number in range(count)]
    world.tiers.kinds.update(dict.fromkeys(addresses, RecipientKind.LOCAL))
    world.tiers.recipients.update(dict.fromkeys(addresses, LATER))
    return [f"RCPT TO:<{address}>\r\n" for address in addresses]


async def test_recipients_that_are_to_come_again_later_are_bounded_in_a_transaction(
    world: EdgeWorld, dialog: Dialog
) -> None:
    """Each is a question and a fact on disk."""
    commands = deferred(world, 300)
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    dialog.send("".join(commands).encode())
    replies = [await dialog.read_reply() for _ in commands]
    assert [reply[:9] for reply in replies] == ["451 4.7.1"] * 100 + ["452 4.5.3"] * 200
    assert len(world.facts(Fact.REFUSED)) == 100
    await dialog("C: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *")


async def test_a_list_s_host_that_meets_the_greylist_may_try_some_hundred_recipients(
    world: EdgeWorld, dialog: Dialog
) -> None:
    commands = "".join(deferred(world, 50)).encode()
    for _ in range(18):
        await dialog("C: MAIL FROM:<list@b.example>\nS: 250 *")
        dialog.send(commands)
        assert [(await dialog.read_reply())[:3] for _ in range(50)] == ["451"] * 50
        await dialog("C: RSET\nS: 250 *")
    await dialog("C: NOOP\nS: 250 *")


async def test_a_client_that_is_always_told_to_come_later_is_sent_away_in_the_end(running: Start) -> None:
    world = await running(refusals_per_session=3)
    async with await world.greeted() as client:
        commands = deferred(world, 40)
        await client("C: MAIL FROM:<>\nS: 250 *")
        client.send("".join(commands).encode())
        assert [(await client.read_reply())[:3] for _ in range(40)] == ["451"] * 40
        await client("S: 421 4.7.0 *\nS: <closed>")


async def test_what_breaks_at_one_of_several_recipients_is_a_temporary_failure_of_each(
    world: EdgeWorld, dialog: Dialog
) -> None:
    """A reply for each command, or client and server disagree on what the next ones mean."""
    await dialog("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<bob@dest.example>\nS: 250 *")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    known = world.edge.context.stages.rcpt._known
    remember, known.put = known.put, broken  # type: ignore[method-assign] # a fault that nobody foresees
    await dialog("""C: RCPT TO:<ann@dest.example>
                    C: RCPT TO:<nobody@dest.example>
                    C: RCPT TO:<user@dest.example>
                    C: NOOP
                    S: 451 4.3.0 *
                    S: 451 4.3.0 *
                    S: 451 4.3.0 *
                    S: 250 2.0.0 OK""")
    known.put = remember  # type: ignore[method-assign] # mended
    await dialog("C: DATA\nS: 354 *\nC: .\nS: 250 *")
    assert [one.address for one in world.spooled[0].envelope.recipients] == ["bob@dest.example"]


async def test_recipients_accepted_before_the_fault_are_not_kept_either(world: EdgeWorld, dialog: Dialog) -> None:
    """They were answered by 451, so the client will send to them again."""
    many = [f"r{number}@relayed.example" for number in range(120)]
    world.tiers.kinds.update(dict.fromkeys(many, RecipientKind.RELAY))
    world.tiers.kinds["r0@relayed.example"] = RecipientKind.UNKNOWN  # so the batch is judged in two parts
    await dialog("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<bob@dest.example>\nS: 250 *")
    resolve = world.edge.context.stages.rcpt._refusals_of_directory
    asked = 0

    async def breaks_the_second_time(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ZeroDivisionError
        return await resolve(*arguments)  # type: ignore[arg-type] # as they came

    world.edge.context.stages.rcpt._refusals_of_directory = breaks_the_second_time  # type: ignore[assignment, method-assign]
    dialog.send("".join(f"RCPT TO:<{address}>\r\n" for address in many).encode())
    assert [(await dialog.read_reply())[:3] for _ in many] == ["451"] * 120
    await dialog("C: DATA\nS: 354 *\nC: .\nS: 250 *")
    assert [one.address for one in world.spooled[0].envelope.recipients] == ["bob@dest.example"]
