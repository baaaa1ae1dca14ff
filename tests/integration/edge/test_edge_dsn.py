"""What a client wants to be told of (RFC 3461 §4): read strictly, spooled as it was meant."""

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.filter import SENDER_STAGE, Action, Finding, Verdict
from tripost_shared.mail.envelope import Envelope, Recipient


async def test_dsn_parameters_are_spooled_with_the_envelope(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("""C: MAIL FROM:<s@b.example> ret=full ENVID=QQ+2B314+20159
                    C: RCPT TO:<ann@dest.example> NOTIFY=delay,SUCCESS ORCPT=rfc822;Ann+2Bx@dest.example
                    C: RCPT TO:<bob@dest.example> ORCPT=x-old;bob NOTIFY=NEVER
                    C: RCPT TO:<ann@dest.example> NOTIFY=NEVER
                    C: RCPT TO:<user@dest.example>
                    C: DATA
                    S: 250 2.1.0 *
                    S: 250 2.1.5 *
                    S: 250 2.1.5 *
                    S: 250 2.1.5 *
                    S: 250 2.1.5 *
                    S: 354 *
                    C: .
                    S: 250 2.0.0 *""")
    (message,) = world.spooled
    assert message.envelope == Envelope(
        "s@b.example",
        (
            Recipient("ann@dest.example", ("SUCCESS", "DELAY"), "rfc822;Ann+x@dest.example"),
            Recipient("bob@dest.example", ("NEVER",), "x-old;bob"),
            Recipient("user@dest.example"),
        ),
        envid="QQ+314 159",
        ret="FULL",
    )


async def test_the_next_transaction_begins_without_them(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("""C: MAIL FROM:<s@b.example> RET=FULL ENVID=x
                    C: RSET
                    C: MAIL FROM:<s@b.example>
                    C: RCPT TO:<ann@dest.example>
                    C: DATA
                    S: 250 *
                    S: 250 *
                    S: 250 *
                    S: 250 *
                    S: 354 *
                    C: .
                    S: 250 2.0.0 *""")
    assert world.spooled[0].envelope == Envelope("s@b.example", (Recipient("ann@dest.example"),))


@pytest.mark.parametrize(
    ("parameters", "reply"),
    [
        pytest.param("NOTIFY=SUCCESS,FAILURE,DELAY", "250 2.1.5 *", id="all notices"),
        pytest.param("NOTIFY=NEVER,FAILURE", "501 5.5.4 *", id="NEVER with another"),
        pytest.param("NOTIFY=FAILURE,FAILURE", "501 5.5.4 *", id="a notice twice"),
        pytest.param("NOTIFY=SOMETIMES", "501 5.5.4 *", id="no notice"),
        pytest.param("NOTIFY=FAILURE,", "501 5.5.4 *", id="an empty one"),
        pytest.param("NOTIFY=", "501 5.5.4 *", id="no value"),
        pytest.param("NOTIFY", "501 5.5.4 *", id="not even ="),
        pytest.param("NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4 *", id="the parameter twice"),
        pytest.param("ORCPT=rfc822;a@b.example", "250 2.1.5 *", id="an original recipient"),
        pytest.param("ORCPT=a@b.example", "501 5.5.4 *", id="without a type"),
        pytest.param("ORCPT=rfc822;", "501 5.5.4 *", id="without an address"),
        pytest.param("ORCPT=;a@b.example", "501 5.5.4 *", id="an empty type"),
        pytest.param("ORCPT=rfc822;a+0D+0Abcc:x@b.example", "501 5.5.4 *", id="a line end"),
        pytest.param("ORCPT=rfc822;a+b@c.example", "501 5.5.4 *", id="no xtext"),
        pytest.param("ORCPT=rfc822;" + "a" * 494, "501 5.5.4 *", id="too long"),
        pytest.param("ORCPT=utf-8;j\\x{F6}rg@b.example", "250 2.1.5 *", id="UTF-8 by numbers"),
        pytest.param("ORCPT=utf-8;a\\x{A}b@b.example", "501 5.5.4 *", id="a line end by its number"),
        pytest.param("ORCPT=utf-8;a\\x{0A}b@b.example", "501 5.5.4 *", id="a line end by its number, in two digits"),
        pytest.param("ORCPT=utf-8;jörg@b.example", "553 5.6.7 *", id="UTF-8 without SMTPUTF8"),
        pytest.param("RET=FULL", "555 5.5.4 *", id="RET is for MAIL"),
        pytest.param("SIZE=3", "555 5.5.4 *", id="SIZE is for MAIL"),
    ],
)
async def test_rcpt_parameters_are_read_strictly(dialog: Dialog, parameters: str, reply: str) -> None:
    await dialog(f"""C: MAIL FROM:<>
                     S: 250 *
                     C: RCPT TO:<ann@dest.example> {parameters}
                     S: {reply}""")


async def test_an_internationalised_original_recipient_is_taken_after_smtputf8(
    world: EdgeWorld, dialog: Dialog
) -> None:
    await dialog("""C: MAIL FROM:<> SMTPUTF8
                    C: RCPT TO:<ann@dest.example> ORCPT=utf-8;jörg@b.example
                    C: DATA
                    S: 250 *
                    S: 250 *
                    S: 354 *
                    C: .
                    S: 250 *""")
    assert world.spooled[0].envelope.recipients[0].original == "utf-8;jörg@b.example"


async def test_a_client_that_said_helo_has_no_parameters(world: EdgeWorld) -> None:
    async with await world.dialog() as client:
        await client("""S: 220 *
                        C: HELO client.example
                        S: 250 *
                        C: MAIL FROM:<>
                        S: 250 *
                        C: RCPT TO:<ann@dest.example> NOTIFY=NEVER
                        S: 555 5.5.4 *""")


@pytest.mark.parametrize(
    ("result", "is_doubtful"),
    [("fail", True), ("softfail", True), ("pass", False), ("none", False), ("neutral", False)],
)
async def test_where_spf_disowns_the_sender_the_spool_says_so(
    world: EdgeWorld, dialog: Dialog, result: str, is_doubtful: bool
) -> None:
    found = Finding("spf", result, stage=SENDER_STAGE)
    world.tiers.recipients["ann@dest.example"] = Verdict(Action.ACCEPT, (found,))
    await dialog("""C: MAIL FROM:<s@b.example>
                    C: RCPT TO:<ann@dest.example> NOTIFY=SUCCESS
                    C: DATA
                    S: 250 *
                    S: 250 *
                    S: 354 *
                    C: .
                    S: 250 *""")
    assert world.spooled[0].sender_is_doubtful is is_doubtful
