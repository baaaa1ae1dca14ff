"""Commands out of their order, unknown, obsolete, misspelt, with arguments that they do not take."""

import pytest

from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, probe

G, HELO, MAIL, RCPT = After.GREETING, After.HELO, After.MAIL, After.RCPT
ORDER = [
    probe("MAIL before EHLO", b"MAIL FROM:<>\r\n", "503 5.5.1", after=G),
    probe("RCPT before EHLO", b"RCPT TO:<ann@dest.example>\r\n", "503 5.5.1", after=G),
    probe("DATA before EHLO", b"DATA\r\n", "503 5.5.1", after=G),
    probe("STARTTLS before EHLO", b"STARTTLS\r\n", "503 5.5.1", after=G),
    probe("AUTH before EHLO", b"AUTH PLAIN\r\n", "503 5.5.1", after=G, on="submission"),
    probe("RSET before EHLO", b"RSET\r\n", "250", after=G),
    probe("NOOP before EHLO", b"NOOP\r\n", "250", after=G),
    probe("QUIT before EHLO", b"QUIT\r\n", "221", after=G, then=CLOSED),
    probe("RCPT before MAIL", b"RCPT TO:<ann@dest.example>\r\n", "503 5.5.1"),
    probe("DATA before MAIL", b"DATA\r\n", "503 5.5.1"),
    probe("DATA before RCPT", b"DATA\r\n", "554 5.5.1", after=MAIL),
    probe("MAIL within a transaction", b"MAIL FROM:<x@b.example>\r\n", "503 5.5.1", after=MAIL),
    probe("MAIL after RCPT", b"MAIL FROM:<x@b.example>\r\n", "503 5.5.1", after=RCPT),
    probe("STARTTLS within a transaction", b"STARTTLS\r\n", "503 5.5.1", after=MAIL),
    probe("AUTH within a transaction", b"AUTH PLAIN =\r\n", "503 5.5.1", after=MAIL),
    probe("DATA after refused recipients", b"RCPT TO:<x@far.example>\r\nDATA\r\n", "550 5.7.1|554 5.5.1", after=MAIL),
    probe("DATA after RSET", b"RSET\r\nDATA\r\n", "250|503 5.5.1", after=RCPT),
    probe("DATA after a second EHLO", b"EHLO a.example\r\nDATA\r\n", "250|503 5.5.1", after=RCPT),
    probe("DATA after HELO", b"HELO a.example\r\nDATA\r\n", "250|503 5.5.1", after=RCPT),
    probe("RCPT after RSET", b"RSET\r\nRCPT TO:<ann@dest.example>\r\n", "250|503 5.5.1", after=MAIL),
    probe("a bad EHLO keeps the transaction", b"EHLO\r\nDATA\r\n.\r\n", "501|354|250", after=RCPT, spooled=1),
    probe(
        "RCPT after the message", b"DATA\r\n.\r\nRCPT TO:<bob@dest.example>\r\n", "354|250|503", after=RCPT, spooled=1
    ),
    probe("DATA twice", b"DATA\r\n.\r\nDATA\r\n", "354|250|503 5.5.1", after=RCPT, spooled=1),
    probe("commands behind QUIT", b"QUIT\r\nMAIL FROM:<>\r\n", "221", then=CLOSED),
    probe("QUIT within a transaction", b"QUIT\r\n", "221", after=RCPT, then=CLOSED),
    probe("parameters after HELO", b"MAIL FROM:<> SIZE=1\r\n", "555 5.5.4", after=HELO),
    probe("SMTPUTF8 after HELO", b"MAIL FROM:<> SMTPUTF8\r\n", "555 5.5.4", after=HELO),
]
VERBS = [
    *(
        probe(f"obsolete {verb}", f"{verb} FROM:<a@b.example>\r\n".encode(), "502 5.5.1")
        for verb in ("SEND", "SOML", "SAML")
    ),
    *(probe(f"obsolete {verb}", f"{verb} dest.example\r\n".encode(), "502 5.5.1") for verb in ("TURN", "ETRN", "ATRN")),
    *(
        probe(f"another server's {verb}", f"{verb} x\r\n".encode(), "500 5.5.2")
        for verb in (
            "XADR",
            "XEXCH50",
            "X-EXPS",
            "XFORWARD",
            "XGEN",
            "VERB",
            "DEBUG",
            "WIZ",
            "KILL",
            "SHOWQ",
            "X-LINK2STATE",
        )
    ),
    probe("XCLIENT from a stranger", b"XCLIENT ADDR=192.0.2.1 LOGIN=admin\r\n", "550 5.7.0"),
    probe("XCLIENT before EHLO", b"XCLIENT ADDR=192.0.2.1\r\n", "550 5.7.0", after=G),
    probe("XCLIENT from a stranger within a transaction", b"XCLIENT ADDR=192.0.2.1\r\n", "503 5.5.1", after=MAIL),
    probe(
        "XCLIENT on submission", b"XCLIENT LOGIN=user@dest.example\r\n", "550 5.7.0", after=After.TLS, on="submission"
    ),
    probe("VRFY of a mailbox tells nothing", b"VRFY ann@dest.example\r\n", "252"),
    probe("VRFY of nobody tells the same", b"VRFY nobody@dest.example\r\n", "252"),
    probe("VRFY of root", b"VRFY root\r\n", "252"),
    probe("VRFY without a name", b"VRFY\r\n", "501 5.5.4"),
    probe("EXPN of a list", b"EXPN staff\r\n", "502 5.5.1"),
    probe("verbs in lower case", b"mail from:<>\r\nrcpt to:<ann@dest.example>\r\n", "250|250"),
    probe("verbs in mixed case", b"MaIl FrOm:<>\r\nrSeT\r\n", "250|250"),
    probe("a verb with a dotless i", "MA\u0131L FROM:<>\r\n".encode(), "500 5.5.2"),
    probe("a verb with a long s", "R\u017fET\r\n".encode(), "500 5.5.2"),
    probe("a verb in full-width letters", "\uff2d\uff21\uff29\uff2c FROM:<>\r\n".encode(), "500 5.5.2"),
    probe("a verb and more letters", b"NOOPX\r\nQUITX\r\nDATAX\r\n", "500|500|500"),
    probe("a verb cut short", b"MAI FROM:<>\r\nEHL x\r\n", "500|500"),
    probe("MAIL without a blank", b"MAILFROM:<>\r\n", "500 5.5.2"),
    probe("TAB instead of the blank", b"MAIL\tFROM:<>\r\n", "500 5.5.2"),
    probe("no-break space instead of the blank", "MAIL\u00a0FROM:<>\r\n".encode(), "500 5.5.2"),
    probe("blanks behind a verb", b"NOOP   \r\nRSET \t \r\n", "250|250"),
    probe("DATA with an argument", b"DATA now\r\n", "501 5.5.4", after=RCPT),
    probe("RSET with an argument", b"RSET all\r\n", "501 5.5.4"),
    probe("QUIT with an argument", b"QUIT now\r\n", "501 5.5.4"),
    probe("STARTTLS with an argument", b"STARTTLS 1.0\r\n", "501 5.5.4"),
    probe("NOOP with an argument", b"NOOP <script>\r\n", "250"),
    probe("EHLO without a name", b"EHLO\r\nHELO\r\n", "501|501"),
    probe("EHLO with two names", b"EHLO a.example b.example\r\n", "501 5.5.4"),
    probe("EHLO with a name of 300 octets", b"EHLO " + b"a" * 300 + b"\r\n", "501 5.5.4"),
    probe("EHLO with a Latin-1 name", b"EHLO b\xfccher.example\r\n", "500 5.5.2"),
    probe("EHLO with a shell's words", b"EHLO `reboot`;$(reboot)|x\r\n", "250"),
    probe("EHLO with a format string", b"EHLO %s%n%x\r\n", "250"),
    probe("EHLO with our own name", b"EHLO mx.tripost.example\r\n", "250"),
    probe("bare LF ends no command", b"NOOP\nNOOP\r\n", "500 5.5.2"),
    probe("bare CR ends no command", b"NOOP\rNOOP\r\n", "500 5.5.2"),
    probe("LF CR ends no command", b"NOOP\n\rNOOP\r\n", "500 5.5.2"),
    probe("NUL in a command", b"MAIL FROM:<a\0@b.example>\r\n", "500 5.5.2"),
    probe("NUL behind a verb", b"DATA\0\r\n", "500 5.5.2", after=RCPT),
    probe("backspaces in a command", b"EXPN\x08\x08\x08\x08NOOP\r\n", "500 5.5.2"),
    probe("escape sequence in a command", b"NOOP \x1b]0;owned\x07\r\n", "500 5.5.2"),
    probe("a line end and a field in EHLO", b"EHLO a\nReceived: x\r\n", "500 5.5.2"),
    probe("CR and a field in EHLO", b"EHLO a\rReceived: x\r\n", "500 5.5.2"),
    probe("a line end and a field in MAIL", b'MAIL FROM:<"a\nBcc: x"@b.example>\r\n', "500 5.5.2"),
    probe("a line end and a field in a parameter", b"MAIL FROM:<> ENVID=a\nBcc:x\r\n", "500 5.5.2"),
    probe("CR and a field in RCPT", b'RCPT TO:<"a\rBcc: x"@dest.example>\r\n', "500 5.5.2", after=MAIL),
    probe("DEL in a command", b"NOOP \x7f\r\n", "500 5.5.2"),
    probe("overlong UTF-8", b"NOOP \xc0\xae\r\n", "500 5.5.2"),
    probe("a surrogate in UTF-8", b"NOOP \xed\xa0\x80\r\n", "500 5.5.2"),
    probe("a command octet by octet", tuple(bytes([octet]) for octet in b"NOOP\r\n"), "250"),
    probe("CR and LF in two packets", (b"NOOP\r", b"\nNOOP\r", b"\n"), "250|250"),
]


@pytest.mark.parametrize("attack", ORDER)
def test_order(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", VERBS)
def test_verbs_and_arguments(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled
