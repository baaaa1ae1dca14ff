"""Whole SMTP dialogs with a running edge."""

import ssl
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict
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
    assert message.content.inline == b"Subject: Hello\r\n\r\n.dot\r\n"
    assert message.content.size_octets == len(message.content.inline)
    received = message.header_fields.decode().replace("\r\n\t", " ")
    assert received.startswith("Received: from client.example ([127.0.0.1]) by mx.tripost.example (Tripost) with ESMTP")
    assert f"id {message.id} for <ann@dest.example>" in received
    (event,) = world.facts(Fact.ACCEPTED)
    assert (event.message_id, event.subject, event.size_octets) == (message.id, "Hello", message.content.size_octets)


@pytest.mark.parametrize("parameter", ["", " BODY=7BIT", " BODY=8BITMIME", " BODY=8bitmime"])
@pytest.mark.parametrize(("text", "is_eight_bit"), [("plain", False), ("grüße", True)])
async def test_whether_a_message_is_eight_bit_is_spooled_whatever_the_client_declared(
    world: EdgeWorld, dialog: Dialog, parameter: str, text: str, is_eight_bit: bool
) -> None:
    await dialog(f"""C: MAIL FROM:<sender@elsewhere.example>{parameter}
                     S: 250 2.1.0 *
                     C: RCPT TO:<ann@dest.example>
                     S: 250 2.1.5 *
                     C: DATA
                     S: 354 *
                     C: Subject: Hello
                     C:
                     C: {text}
                     C: .
                     S: 250 2.0.0 Accepted as *""")
    (message,) = world.spooled
    assert message.envelope.eight_bit is is_eight_bit


async def test_ehlo_offers_exactly_what_works(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    always = ["PIPELINING", f"SIZE {64 << 20}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"]
    always.append("LIMITS MAILMAX=500 RCPTMAX=100")
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
        pytest.param("FROM:<a@b.example> RET=FULL ENVID=QQ+2B3", "250 2.1.0 *", id="DSN"),
        pytest.param("FROM:<a@b.example> RET=hdrs", "250 2.1.0 *", id="RET in lower case"),
        pytest.param("FROM:<a@b.example> RET=ALL", "501 5.5.4 *", id="RET of no kind"),
        pytest.param("FROM:<a@b.example> RET", "501 5.5.4 *", id="RET without a value"),
        pytest.param("FROM:<a@b.example> ENVID=a+0D+0Ab", "501 5.5.4 *", id="ENVID with a line end"),
        pytest.param("FROM:<a@b.example> ENVID=a+b", "501 5.5.4 *", id="ENVID not in xtext"),
        pytest.param("FROM:<a@b.example> NOTIFY=NEVER", "555 5.5.4 *", id="NOTIFY is for RCPT"),
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
        pytest.param("C: BDAT 0 LAST\nS: 503 5.5.1 *", id="BDAT before MAIL"),
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


async def test_what_breaks_in_a_command_is_a_temporary_failure(world: EdgeWorld, dialog: Dialog) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    world.spool.publish = broken  # type: ignore[assignment] # a fault that nobody foresees
    await dialog(
        "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nC: .\nS: 250 *\nS: 250 *\nS: 354 *\nS: 451 4.3.0 *"
    )
    await dialog("C: MAIL FROM:<>\nS: 250 *")
