"""Bursts of commands, commands behind those that must come last, and chunks (RFC 2920, RFC 3207, RFC 3030)."""

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, PLAIN_LOGIN, After, Probe, prepare, probe, see_what_is_left

G, MAIL, RCPT = After.GREETING, After.MAIL, After.RCPT
ENVELOPE = b"MAIL FROM:<>\r\nRCPT TO:<ann@dest.example>\r\n"
BURSTS = [
    probe("everything before EHLO", ENVELOPE + b"DATA\r\n", "503|503|503", after=G),
    probe(
        "a session in one packet",
        b"EHLO c\r\n" + ENVELOPE + b"DATA\r\nx\r\n.\r\nQUIT\r\n",
        "250|250|250|354|250|221",
        after=G,
        spooled=1,
        then=CLOSED,
    ),
    probe("a refused DATA and its content", b"DATA\r\nMAIL FROM:<>\r\n.\r\n", "503|250|500"),
    probe(
        "content behind DATA without recipients",
        b"DATA\r\nSubject: x\r\n\r\nRSET\r\n.\r\n",
        "554|500|500|250|500",
        after=MAIL,
    ),
    probe("RSET between RCPT and DATA", ENVELOPE + b"RSET\r\nDATA\r\n", "250|250|250|503"),
    probe("RSET in the content is content", b"DATA\r\nRSET\r\nQUIT\r\n.\r\n", "354|250", after=RCPT, spooled=1),
    probe(
        "EHLO in the content is content", b"DATA\r\nEHLO x\r\nMAIL FROM:<>\r\n.\r\n", "354|250", after=RCPT, spooled=1
    ),
    probe("commands behind the content", b"DATA\r\n.\r\nNOOP\r\nVRFY x\r\n", "354|250|250|252", after=RCPT, spooled=1),
    probe(
        "good and bad recipients mixed",
        b"RCPT TO:<x@far.example>\r\nRCPT TO:<ann@dest.example>\r\nRCPT TO:<\r\nRCPT TO:<nobody@dest.example>\r\n",
        "550 5.7.1|250|501|550 5.1.1",
        after=MAIL,
    ),
    probe(
        "a recipient with a control character among others",
        b"RCPT TO:<ann@dest.example>\r\nRCPT TO:<b\x01b@dest.example>\r\nRCPT TO:<bob@dest.example>\r\n",
        "250|500|250",
        after=MAIL,
    ),
    probe(
        "the same recipient three times",
        b"RCPT TO:<ann@dest.example>\r\n" * 3 + b"DATA\r\n.\r\n",
        "250|250|250|354|250",
        after=MAIL,
        spooled=1,
    ),
    probe("ninety commands at once", b"NOOP\r\n" * 90, "|".join(["250"] * 90)),
    probe(
        "commands cut anywhere",
        (b"MAIL FR", b"OM:<>\r\nRCPT TO", b":<ann@dest.example>\r", b"\nRSET\r\n"),
        "250|250|250",
    ),
    probe(
        "VRFY, HELP and NOOP within a transaction",
        b"NOOP\r\nVRFY x\r\nHELP\r\nDATA\r\n.\r\n",
        "250|252|214|354|250",
        after=RCPT,
        spooled=1,
    ),
]
INJECTED = [
    probe("a command behind STARTTLS", b"STARTTLS\r\nEHLO evil.example\r\n", "554 5.5.0", then=CLOSED),
    probe(
        "a command behind STARTTLS on submission",
        b"STARTTLS\r\n" + PLAIN_LOGIN,
        "554 5.5.0",
        then=CLOSED,
        on="submission",
    ),
    probe("MAIL behind STARTTLS", b"STARTTLS\r\nMAIL FROM:<>\r\n", "554 5.5.0", then=CLOSED),
    probe("one octet behind STARTTLS", b"STARTTLS\r\n\n", "554 5.5.0", then=CLOSED),
    probe("STARTTLS twice at once", b"STARTTLS\r\nSTARTTLS\r\n", "554 5.5.0", then=CLOSED),
    probe("a TLS hello behind STARTTLS", b"STARTTLS\r\n\x16\x03\x01\x00\x05", "554 5.5.0", then=CLOSED),
    probe("STARTTLS behind a transaction", b"MAIL FROM:<>\r\nSTARTTLS\r\n", "250|503 5.5.1"),
    probe("STARTTLS with LF, a command behind it", b"STARTTLS\nEHLO evil.example\r\n", "500 5.5.2"),
    probe("a command behind AUTH is a command", PLAIN_LOGIN + b"NOOP\r\n", "235|250", after=After.TLS, on="submission"),
    probe(
        "a command as the answer to a challenge",
        b"AUTH PLAIN\r\nMAIL FROM:<>\r\nNOOP\r\n",
        "334|501 5.5.2|250",
        after=After.TLS,
        on="submission",
    ),
    probe(
        "MAIL behind an AUTH that fails",
        b"AUTH PLAIN AHgAeQ==\r\nMAIL FROM:<>\r\n",
        "535|530 5.7.0",
        after=After.TLS,
        on="submission",
    ),
]
CHUNKS = [
    probe("BDAT before EHLO reads its octets", b"BDAT 6\r\nNOOP\r\n", "503 5.5.1", after=G),
    probe("BDAT without recipients reads its octets", b"BDAT 6 LAST\r\nRSET\r\n", "554 5.5.1", after=MAIL),
    probe("BDAT after HELO", b"BDAT 6 LAST\r\nRSET\r\n", "503", after=After.HELO),
    probe(
        "commands in a chunk are content",
        b"BDAT 25 LAST\r\nRSET\r\nMAIL FROM:<>\r\nx\r\n\r\n",
        "250",
        after=RCPT,
        spooled=1,
    ),
    probe("an end mark in a chunk ends nothing", b"BDAT 16 LAST\r\nx: y\r\n\r\n.\r\nRSET\r", "550 5.5.2", after=RCPT),
    probe("a bare LF in a chunk", b"BDAT 8 LAST\r\nx: y\n.\r\n", "550 5.5.2", after=RCPT),
    probe("NUL in a chunk", b"BDAT 6 LAST\r\nx: \0\r\n", "550 5.5.2", after=RCPT),
    probe("CR and LF in two chunks", b"BDAT 5\r\nx: y\rBDAT 1 LAST\r\n\n", "250|250", after=RCPT, spooled=1),
    probe("an empty last chunk", b"BDAT 6\r\nx: y\r\nBDAT 0 LAST\r\n", "250|250", after=RCPT, spooled=1),
    probe("DATA among chunks", b"BDAT 6\r\nx: y\r\nDATA\r\n", "250|503 5.5.1", after=RCPT),
    probe("RCPT among chunks", b"BDAT 6\r\nx: y\r\nRCPT TO:<bob@dest.example>\r\n", "250|503 5.5.1", after=RCPT),
    probe("MAIL among chunks", b"BDAT 6\r\nx: y\r\nMAIL FROM:<>\r\n", "250|503 5.5.1", after=RCPT),
    probe("RSET among chunks", b"BDAT 6\r\nx: y\r\nRSET\r\nBDAT 0 LAST\r\n", "250|250|503", after=RCPT),
    probe("a chunk without a size", b"BDAT\r\n", "501", after=RCPT, then=CLOSED),
    probe("a chunk of a size below nothing", b"BDAT -1\r\n", "501", after=RCPT, then=CLOSED),
    probe("a chunk of a hexadecimal size", b"BDAT 0x10 LAST\r\n", "501", after=RCPT, then=CLOSED),
    probe("a chunk of a size in other digits", "BDAT \u0661 LAST\r\n".encode(), "501", after=RCPT, then=CLOSED),
    probe("a chunk of 2^64 octets", b"BDAT 18446744073709551616\r\n", "501", after=RCPT, then=CLOSED),
    *(
        probe(f"a chunk whose line has {what}", line + b"\r\nRSET\r\n", "500", after=RCPT, then=CLOSED)
        for what, line in {
            "NUL": b"BDAT 6 LAST\0",
            "a control character": b"BDAT 6 LAST\x01",
            "a vertical tab": b"BDAT 6\x0bLAST",
            "a bare LF": b"BDAT 6\n LAST",
            "a tab behind its verb": b"bdat\t6 LAST",
            "a space before it": b" BDAT 6 LAST",
            "another octet than UTF-8": b"BDAT 6 LAST\xff",
            "too many spaces": b"BDAT" + b" " * 2100 + b"6 LAST",
            "far too many spaces": b"BDAT" + b" " * 13_000 + b"6 LAST",
        }.items()
    ),
    probe("a chunk of a terabyte", b"BDAT 1099511627776 LAST\r\n", "552", after=RCPT, then=CLOSED),
    probe("a chunk that is called final", b"BDAT 1 FINAL\r\n", "501", after=RCPT, then=CLOSED),
    probe(
        "a thousand chunks of nothing",
        b"BDAT 0\r\n" * 1001,
        "|".join(["250"] * 1000 + ["421 4.7.0"]),
        after=RCPT,
        then=CLOSED,
    ),
]


@pytest.mark.parametrize("attack", BURSTS)
def test_bursts(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", INJECTED)
def test_injections(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", CHUNKS)
def test_chunks(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


def test_octets_before_the_handshake_are_not_in_the_encrypted_session(edge: ProbedEdge) -> None:
    """They come a moment after STARTTLS, before the hello: the handshake fails, and nothing of them is obeyed."""
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.EHLO)
        client.say(b"STARTTLS\r\n")
        assert client.reply().startswith("220 ")
        client.say(b"MAIL FROM:<injected@b.example>\r\n")
        assert b"250" not in client.rest()
    assert edge.spooled() == []
    edge.logged()


def test_what_was_said_before_tls_is_forgotten(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.STARTTLS)
        client.say(b"MAIL FROM:<>\r\n")
        assert client.reply().startswith("503 5.5.1")
        see_what_is_left(client, "usable")
