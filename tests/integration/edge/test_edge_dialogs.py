"""Whole SMTP dialogs with a running edge."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.domains import ResolveQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, RecipientsQuestion, Verdict
from tripost_shared.contracts.spool import Direction
from tripost_shared.mail.reply import SmtpReply

Start = Callable[..., Awaitable[EdgeWorld]]


async def test_a_message_for_a_mailbox_is_spooled_with_its_received_field(world: EdgeWorld, dialog: Dialog) -> None:
    reply = await dialog("""C: MAIL FROM:<sender@elsewhere.example> SIZE=60 BODY=8BITMIME
                            S: 250 2.1.0 *
                            C: RCPT TO:<ann@dest.example>
                            S: 250 2.1.5 *
                            C: DATA
                            S: 354 *
                            C: Subject: Hello
                            C:
                            C: ..dot
                            C: .
                            S: 250 2.0.0 Accepted as *""")
    (message,) = world.spooled
    assert reply.endswith(message.id)
    assert message.direction is Direction.INBOUND
    assert message.envelope.reverse_path == "sender@elsewhere.example"
    assert message.envelope.eight_bit
    assert message.content.inline == b"Subject: Hello\r\n\r\n.dot\r\n"
    assert message.content.size_octets == len(message.content.inline)
    received = message.header_fields.decode()
    assert received.startswith("Received: from client.example (unknown [127.0.0.1])\r\n")
    assert "by mx.tripost.example (Tripost) with ESMTP" in received.replace("\r\n\t", " ")
    assert f"id {message.id} for <ann@dest.example>" in received.replace("\r\n\t", " ")
    (event,) = world.facts(Fact.ACCEPTED)
    assert (event.message_id, event.subject, event.size_octets) == (message.id, "Hello", message.content.size_octets)


async def test_ehlo_offers_exactly_what_works(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    always = ["PIPELINING", f"SIZE {64 << 20}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
    assert await _offers(world, "mx", client_tls) == [*always, "STARTTLS"]
    assert await _offers(world, "submission", client_tls) == [*always, "STARTTLS"]
    assert await _offers(world, "submissions", client_tls, implicit_tls=True) == [*always, "AUTH PLAIN LOGIN"]


async def _offers(world: EdgeWorld, listener: str, tls: ssl.SSLContext, *, implicit_tls: bool = False) -> list[str]:
    async with await world.dialog(listener, tls=tls, implicit_tls=implicit_tls) as client:
        await client("S: 220 mx.tripost.example ESMTP Tripost\nC: EHLO client.example\nS: 250-mx.tripost.example")
        offers = [await client.read_line()]
        while offers[-1][3] == "-":
            offers.append(await client.read_line())
        return [line[4:] for line in offers]


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        pytest.param("<nobody@dest.example>", "550 5.1.1 *", id="unknown"),
        pytest.param("<off@dest.example>", "550 5.2.1 *", id="disabled"),
        pytest.param("<far@elsewhere.example>", "550 5.7.1 Relaying denied (*)", id="foreign"),
        pytest.param("<x@relayed.example>", "250 2.1.5 *", id="domain that we relay for"),
        pytest.param("<postmaster>", "250 2.1.5 *", id="bare postmaster"),
        pytest.param("<@hop.example:ann@dest.example>", "250 2.1.5 *", id="source route is dropped"),
        pytest.param("<ann@dest.example> NOTIFY=NEVER", "555 5.5.4 *", id="parameter that is not offered"),
        pytest.param("<>", "501 5.1.3 *", id="null path"),
        pytest.param("<ann@@dest.example>", "501 5.1.3 *", id="malformed address"),
        pytest.param("ann@dest.example", "501 5.5.4 *", id="no angle brackets"),
        pytest.param("<änn@dest.example>", "553 5.6.7 *", id="UTF-8 without SMTPUTF8"),
    ],
)
async def test_recipients_are_verified_at_rcpt(dialog: Dialog, recipient: str, reply: str) -> None:
    await dialog(f"C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:{recipient}\nS: {reply}")


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        pytest.param("FROM:<>", "250 2.1.0 *", id="null reverse-path"),
        pytest.param("from: <a@b.example>", "250 2.1.0 *", id="case and a space are forgiven"),
        pytest.param('FROM:<"a>b"@c.example>', "250 2.1.0 *", id="angle bracket in a quoted local part"),
        pytest.param("FROM:<a@b.example> SIZE=67108864", "250 2.1.0 *", id="largest size"),
        pytest.param("FROM:<a@b.example> SIZE=67108865", "552 5.3.4 *", id="too large"),
        pytest.param("FROM:<a@b.example> SIZE=x", "501 5.5.4 *", id="size is no number"),
        pytest.param("FROM:<a@b.example> SIZE=1 SIZE=1", "501 5.5.4 *", id="parameter twice"),
        pytest.param("FROM:<a@b.example> BODY=BINARYMIME", "501 5.5.4 *", id="body type not offered"),
        pytest.param("FROM:<a@b.example> RET=FULL", "555 5.5.4 *", id="DSN is not offered"),
        pytest.param("FROM:<a@b.example> AUTH=<>", "555 5.5.4 *", id="AUTH is not offered here"),
        pytest.param("FROM:<ä@b.example> SMTPUTF8", "250 2.1.0 *", id="UTF-8 with SMTPUTF8"),
        pytest.param("FROM:<ä@b.example>", "553 5.6.7 *", id="UTF-8 without"),
        pytest.param("FROM:<a b@c.example>", "501 5.1.7 *", id="malformed address"),
        pytest.param("FROM a@b.example", "501 5.5.4 *", id="malformed argument"),
        pytest.param("FROM:<" + "a" * 250 + "@b.example>", "501 5.1.7 *", id="path too long"),
    ],
)
async def test_mail_is_read_as_the_rfcs_say(dialog: Dialog, argument: str, reply: str) -> None:
    await dialog(f"C: MAIL {argument}\nS: {reply}")


@pytest.mark.parametrize(
    ("script"),
    [
        pytest.param("C: MAIL FROM:<>\nS: 503 5.5.1 *", id="MAIL before EHLO"),
        pytest.param("C: STARTTLS\nS: 503 5.5.1 *", id="STARTTLS before EHLO"),
        pytest.param("C: HELO c.example\nS: 250 mx.tripost.example\nC: MAIL FROM:<> SIZE=1\nS: 555 *", id="HELO"),
        pytest.param("C: EHLO\nS: 501 5.5.4 *", id="EHLO without name"),
        pytest.param("C: EHLO a b\nS: 501 5.5.4 *", id="EHLO with two"),
        pytest.param("C: NOOP whatever\nS: 250 2.0.0 *", id="NOOP"),
        pytest.param("C: HELP\nS: 214 2.0.0 *", id="HELP"),
        pytest.param("C: VRFY ann\nS: 252 2.1.5 *\nC: VRFY\nS: 501 *", id="VRFY"),
        pytest.param("C: EXPN list\nS: 502 5.5.1 *", id="EXPN"),
        pytest.param("C: BDAT 10 LAST\nS: 502 5.5.1 *", id="BDAT"),
        pytest.param("C: XYZZY\nS: 500 5.5.2 *", id="unknown"),
        pytest.param("C: RSET now\nS: 501 5.5.4 *", id="RSET with an argument"),
        pytest.param("C: EHLO c\nS: 250 *\nC: AUTH PLAIN AGEAYg==\nS: 502 *", id="AUTH where it is not offered"),
        pytest.param("C: EHLO c\nS: 250 *\nC: RCPT TO:<a@b>\nS: 503 *", id="RCPT before MAIL"),
        pytest.param("C: EHLO c\nS: 250 *\nC: DATA\nS: 503 *", id="DATA before MAIL"),
        pytest.param("C: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: MAIL FROM:<>\nS: 503 *", id="nested MAIL"),
        pytest.param(
            "C: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<n@dest.example>\nS: 550 *\nC: DATA\nS: 554 *",
            id="DATA without a valid recipient",
        ),
        pytest.param(
            "C: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: EHLO a b\nS: 501 *\nC: RCPT TO:<ann@dest.example>\n"
            "S: 250 *\nC: EHLO c\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 503 *",
            id="a new EHLO drops the transaction, a refused one does not",
        ),
        pytest.param("C: QUIT\nS: 221 2.0.0 *\nS: <closed>", id="QUIT"),
    ],
)
async def test_commands_have_their_place(world: EdgeWorld, script: str) -> None:
    async with await world.dialog() as client:
        await client("S: 220 *\n" + script)


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
    assert replies[-1].startswith("452 4.5.3 ")


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        pytest.param(
            Verdict(Action.REJECT, reply=SmtpReply(554, "5.7.1", "Spam")), "554 5.7.1 Spam (*.1)", id="refused"
        ),
        pytest.param(Verdict(Action.DEFER), "451 4.3.0 *", id="deferred without words"),
        pytest.param(Verdict(Action.REJECT), "550 5.7.1 *", id="refused without words"),
    ],
)
async def test_a_refused_message_is_not_spooled(world: EdgeWorld, dialog: Dialog, verdict: Verdict, reply: str) -> None:
    world.tiers.message = verdict
    await dialog(f"""C: MAIL FROM:<>
                     C: RCPT TO:<ann@dest.example>
                     C: DATA
                     S: 250 *
                     S: 250 *
                     S: 354 *
                     C: x
                     C: .
                     S: {reply}
                     C: MAIL FROM:<>
                     S: 250 *""")
    assert world.spooled == []
    (event,) = world.facts(Fact.REFUSED)
    assert (event.stage, event.recipients) == ("data", ("ann@dest.example",))


async def test_a_discarded_message_is_answered_as_if_accepted(world: EdgeWorld, dialog: Dialog) -> None:
    world.tiers.message = Verdict(Action.DISCARD)
    await dialog("""C: MAIL FROM:<>
                    C: RCPT TO:<ann@dest.example>
                    C: DATA
                    C: .
                    S: 250 *
                    S: 250 *
                    S: 354 *
                    S: 250 2.0.0 Accepted as *""")
    assert world.spooled == []
    assert len(world.facts(Fact.DISCARDED)) == 1


async def test_a_client_on_a_block_list_is_refused_at_rcpt(world: EdgeWorld) -> None:
    world.tiers.connection = Verdict(Action.REJECT, reply=SmtpReply(554, "5.7.1", "Listed"))
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 554 5.7.1 Listed (*.1)")


async def test_without_answers_from_a_tier_the_client_is_told_to_come_back(world: EdgeWorld, dialog: Dialog) -> None:
    world.bus.is_connected = False
    await dialog("C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 451 4.3.0 *")
    world.bus.is_connected = True
    await dialog("C: RCPT TO:<ann@dest.example>\nS: 250 *\nC: DATA\nS: 354 *")
    world.bus.is_connected = False
    await dialog("C: .\nS: 451 4.3.0 *")
    world.bus.is_connected = True
    await dialog(
        "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nC: .\nS: 250 *\nS: 250 *\nS: 354 *\nS: 250 *"
    )


@pytest.mark.parametrize(("switch", "reply"), [("is_full", "452 4.3.1 *"), ("is_unavailable", "451 4.3.0 *")])
async def test_what_the_spool_does_not_take_stays_with_the_client(
    world: EdgeWorld, dialog: Dialog, switch: str, reply: str
) -> None:
    setattr(world.spool, switch, True)
    await dialog(
        f"C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nC: .\nS: 250 *\nS: 250 *\nS: 354 *\nS: {reply}"
    )


async def test_too_many_errors_end_the_session(running: Start) -> None:
    world = await running(errors_per_session=3)
    async with await world.dialog() as client:
        await client("""S: 220 *
                        C: X
                        C: X
                        C: X
                        C: X
                        S: 500 *
                        S: 500 *
                        S: 500 *
                        S: 500 *
                        S: 421 4.7.0 *
                        S: <closed>""")


async def test_too_many_messages_end_the_session(running: Start) -> None:
    world = await running(messages_per_session=1)
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 421 4.7.0 *\nS: <closed>")


async def test_beyond_the_limit_of_sessions_clients_are_turned_away(running: Start) -> None:
    world = await running(sessions_limit=1)
    async with await world.greeted() as first:
        async with await world.dialog() as second:
            await second("S: 421 4.3.2 *\nS: <closed>")
        await first("C: QUIT\nS: 221 *\nS: <closed>")
    async with await world.dialog() as third:
        await third("S: 220 *")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", id="HTTP GET"),
        pytest.param(b"POST / HTTP/1.1\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\n", id="HTTP POST with SMTP in its body"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS on the plain port"),
    ],
)
async def test_other_protocols_are_cut_off_at_once(world: EdgeWorld, octets: bytes) -> None:
    async with await world.dialog() as client:
        await client("S: 220 *")
        client.send(octets)
        assert await client.read_to_end() == b""


async def test_draining_lets_a_transaction_end_and_dismisses_the_idle(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    async with await world.greeted() as idle:
        draining = asyncio.create_task(world.edge.drain())
        await idle("S: 421 4.3.2 *\nS: <closed>")
    await dialog("""C: RCPT TO:<ann@dest.example>
                    C: DATA
                    C: .
                    S: 250 *
                    S: 354 *
                    S: 250 *
                    S: 421 4.3.2 *
                    S: <closed>""")
    await asyncio.wait_for(draining, 5)
    assert len(world.spooled) == 1


async def test_what_breaks_in_a_command_is_a_temporary_failure(world: EdgeWorld, dialog: Dialog) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    world.spool.publish = broken  # type: ignore[assignment] # a fault that nobody foresees
    await dialog(
        "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nC: .\nS: 250 *\nS: 250 *\nS: 354 *\nS: 451 4.3.0 *"
    )
    await dialog("C: MAIL FROM:<>\nS: 250 *")
