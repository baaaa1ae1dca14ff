"""AUTH where it has no place, with responses that are none, and by who guesses (RFC 4954, RFC 4616)."""

import base64

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, PLAIN_LOGIN, After, Probe, Steps, prepare, probe

TLS, LOGIN = After.TLS, After.LOGIN


def encoded(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def plain(octets: bytes) -> bytes:
    return b"AUTH PLAIN " + encoded(octets) + b"\r\n"


def auth(name: str, says: bytes, hears: str, *, after: Steps = TLS, then: str = "usable", spooled: int = 0) -> object:
    return probe(name, says, hears, after=after, then=then, spooled=spooled, on="submission")


GOOD = b"\0user@dest.example\0secret"
ATTACKS = [
    probe("AUTH on the mx listener", PLAIN_LOGIN, "502 5.5.1"),
    probe("AUTH on the mx listener under TLS", PLAIN_LOGIN, "502 5.5.1", after=TLS),
    probe("AUTH before TLS", PLAIN_LOGIN, "538 5.7.11", on="submission"),
    probe("AUTH LOGIN before TLS asks for nothing", b"AUTH LOGIN\r\n", "538 5.7.11", on="submission"),
    probe("MAIL before TLS", b"MAIL FROM:<user@dest.example>\r\n", "530 5.7.0", on="submission"),
    auth("MAIL before AUTH", b"MAIL FROM:<user@dest.example>\r\n", "530 5.7.0"),
    auth("AUTH without a mechanism", b"AUTH\r\n", "501 5.5.4"),
    *(
        auth(f"mechanism {name}", f"AUTH {name}\r\n".encode(), "504 5.5.4")
        for name in ("NTLM", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL", "XOAUTH2", "PLAIN2", "=", "../PLAIN", "%s")
    ),
    auth("a mechanism of 3000 letters", b"AUTH " + b"A" * 3000 + b"\r\n", "504 5.5.4"),
    auth("a line of 20,000 octets", b"AUTH PLAIN " + b"A" * 20_000 + b"\r\n", "500 5.5.2"),
    auth("a response of 20,000 octets", b"AUTH PLAIN\r\n" + b"A" * 20_000 + b"\r\n", "334|500 5.5.6"),
    auth("a password of 5000 octets", plain(b"\0user@dest.example\0" + b"x" * 5000), "535 5.7.8"),
    auth("a user name of 5000 octets", plain(b"\0" + b"u" * 5000 + b"\0x"), "535 5.7.8"),
    auth("no base64", b"AUTH PLAIN !!!!\r\n", "501 5.5.2"),
    auth("base64 without its padding", b"AUTH PLAIN " + encoded(GOOD).rstrip(b"=")[:-1] + b"\r\n", "501 5.5.2"),
    auth("base64 with more padding", b"AUTH PLAIN AAAA====\r\n", "501 5.5.2"),
    auth("base64 with bits left over", b"AUTH PLAIN AHVzZXIAc2VjcmV1\r\nAUTH PLAIN AB==\r\n", "535|501 5.5.2"),
    auth("base64 with blanks in it", b"AUTH PLAIN AHVz ZXIA\r\n", "501 5.5.2"),
    auth("base64 of the URL alphabet", b"AUTH PLAIN __--\r\n", "501 5.5.2"),
    auth("base64 with other letters", "AUTH PLAIN ÄÖÜ=\r\n".encode(), "501 5.5.2"),
    auth("padding alone", b"AUTH PLAIN ====\r\n", "501 5.5.2"),
    auth("an empty initial response", b"AUTH PLAIN =\r\n", "501 5.5.2"),
    auth("an empty response", b"AUTH PLAIN\r\n\r\n", "334|501 5.5.2"),
    auth("cancelled", b"AUTH PLAIN\r\n*\r\n", "334|501 5.7.0"),
    auth("cancelled at the password", b"AUTH LOGIN\r\ndXNlcg==\r\n*\r\n", "334|334|501 5.7.0"),
    auth("`*` as the initial response", b"AUTH PLAIN *\r\n", "501 5.5.2"),
    auth("one part", plain(b"user@dest.example"), "501 5.5.2"),
    auth("two parts", plain(b"user@dest.example\0secret"), "501 5.5.2"),
    auth("four parts", plain(b"\0user@dest.example\0secret\0"), "501 5.5.2"),
    auth("parts without anything in them", plain(b"\0\0"), "535 5.7.8"),
    auth("no password", plain(b"\0user@dest.example\0"), "535 5.7.8"),
    auth("no user name", plain(b"\0\0secret"), "535 5.7.8"),
    auth("to act for another", plain(b"admin@dest.example\0user@dest.example\0secret"), "535 5.7.8"),
    auth("to act for oneself", plain(b"user@dest.example\0user@dest.example\0secret"), "235 2.7.0"),
    auth(
        "the password with NUL behind it, by LOGIN",
        b"AUTH LOGIN\r\n" + encoded(GOOD[1:18]) + b"\r\n" + encoded(b"secret\0") + b"\r\n",
        "334|334|535",
    ),
    auth(
        "a user name with NUL in it, by LOGIN",
        b"AUTH LOGIN\r\n" + encoded(b"user@dest.example\0x") + b"\r\n",
        "334|535",
    ),
    auth("a user name in Latin-1", plain(b"\0\xfcser\0x"), "501 5.5.2"),
    auth("a user name with a line end", plain(b"\0user@dest.example\r\nx\0secret"), "535 5.7.8"),
    auth("a user name with SQL", plain(b"\0' OR 1=1 --\0x"), "535 5.7.8"),
    auth("a user name of LDAP", plain(b"\0*)(uid=*\0x"), "535 5.7.8"),
    auth("the right password in capitals", plain(b"\0user@dest.example\0SECRET"), "535 5.7.8"),
    auth("the right password with a blank", plain(b"\0user@dest.example\0secret "), "535 5.7.8"),
    auth("AUTH within a transaction", b"MAIL FROM:<>\r\n" + PLAIN_LOGIN, "250|503 5.5.1", after=LOGIN),
    auth("AUTH twice", PLAIN_LOGIN, "503 5.5.1", after=LOGIN),
    auth("AUTH after HELO", b"HELO x\r\n" + PLAIN_LOGIN, "250|502 5.5.1"),
    auth("three failures", plain(b"\0u\0x") * 3, "535|535|421 4.7.0", then=CLOSED),
    auth(
        "three failures, EHLO between them",
        (plain(b"\0u\0x") + b"EHLO x\r\n") * 2 + plain(b"\0u\0x"),
        "535|250|535|250|421",
        then=CLOSED,
    ),
    auth("a bare LF in the response", b"AUTH PLAIN\r\n" + encoded(GOOD) + b"\n\r\n", "334|501 5.5.2"),
    auth("NUL in the response", b"AUTH PLAIN\r\nAAA\0\r\n", "334|501 5.5.2"),
    auth("mechanism in lower case", b"auth plain " + encoded(GOOD) + b"\r\n", "235 2.7.0"),
    auth("somebody else's reverse-path", b"MAIL FROM:<ann@dest.example>\r\n", "553 5.7.1", after=LOGIN),
    auth(
        "somebody else's reverse-path in other letters", b"MAIL FROM:<ANN@DEST.EXAMPLE>\r\n", "553 5.7.1", after=LOGIN
    ),
    auth("a foreign reverse-path", b"MAIL FROM:<user@far.example>\r\n", "553 5.7.1", after=LOGIN),
    auth("a reverse-path by source route", b"MAIL FROM:<@dest.example:ann@dest.example>\r\n", "553 5.7.1", after=LOGIN),
    auth(
        "another identity by AUTH=", b"MAIL FROM:<ann@dest.example> AUTH=ann@dest.example\r\n", "553 5.7.1", after=LOGIN
    ),
    auth("one's own reverse-path", b"MAIL FROM:<user@dest.example>\r\n", "250 2.1.0", after=LOGIN),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_authentication(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


def test_known_and_unknown_users_hear_the_same(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["submission"]) as client:
        prepare(client, TLS)
        client.say(plain(b"\0user@dest.example\0wrong"), plain(b"\0nobody@dest.example\0wrong"))
        known, unknown = client.reply(), client.reply()
    assert known.rpartition("(")[0] == unknown.rpartition("(")[0]  # but for the id in the tracking
    edge.logged()


def test_no_password_is_in_the_log(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["submission"]) as client:
        prepare(client, TLS)
        client.say(plain(b"\0nobody@dest.example\0hunter2"), b"AUTH LOGIN\r\nbm9ib2R5\r\naHVudGVyMg==\r\n")
        assert [client.reply()[:3] for _ in range(4)] == ["535", "334", "334", "535"]
        client.say(b"aHVudGVyMg==\r\n")  # typed where no password is asked for
        assert client.reply().startswith("500")
    log = edge.process.said()
    assert "hunter2" not in log
    assert "aHVudGVyMg" not in log
    edge.logged()
