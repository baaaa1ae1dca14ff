"""TLS begun wrongly, by old versions, twice, halfway, or not at all (RFC 3207, RFC 8996)."""

import socket
import ssl
import subprocess
import warnings

import pytest

from attacker import ANY_CERTIFICATE, WITHIN_SECONDS, Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, prepare, probe, see_what_is_left

TLS = After.TLS
UNDER_TLS = [
    probe("STARTTLS under TLS", b"STARTTLS\r\n", "503 5.5.1", after=TLS),
    probe("STARTTLS under TLS on submission", b"STARTTLS\r\n", "503 5.5.1", after=TLS, on="submission"),
    probe("MAIL before the second EHLO", b"MAIL FROM:<>\r\n", "503 5.5.1", after=After.STARTTLS),
    probe("AUTH before the second EHLO", b"AUTH PLAIN =\r\n", "503 5.5.1", after=After.STARTTLS, on="submission"),
    probe("STARTTLS before the second EHLO", b"STARTTLS\r\n", "503 5.5.1", after=After.STARTTLS),
    probe("a bare LF under TLS", b"NOOP\nNOOP\r\n", "500 5.5.2", after=TLS),
    probe("HTTP under TLS", b"GET / HTTP/1.1\r\n\r\n", after=TLS, then=CLOSED),
    probe("a line without end under TLS", b"x" * 100_000, "421 4.7.0", after=TLS, then=CLOSED),
    probe("commands in a burst under TLS", b"MAIL FROM:<>\r\nRSET\r\nNOOP\r\n", "250|250|250", after=TLS),
]
SUITES = bytes.fromhex("0004002f0035")
HELLOS = {
    "SSL 2.0": b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10" + b"\x01\0\x80" * 7 + b"x" * 16,
    "SSL 3.0": b"\x16\x03\0\0\x2d\x01\0\0\x29\x03\0" + b"x" * 32 + b"\0" + SUITES[:2] + SUITES[2:] + b"\x01\0",
    "a hello of a wrong length": b"\x16\x03\x01\0\x05\x01\xff\xff\xff\x03",
    "a record of 65,535 octets": b"\x16\x03\x01\xff\xff" + b"x" * 65_535,
    "an alert": b"\x15\x03\x01\0\x02\x02\x28",
    "application data": b"\x17\x03\x03\0\x05NOOP\n",
    "change cipher spec": b"\x14\x03\x03\0\x01\x01",
    "plain text": b"EHLO evil.example\r\nMAIL FROM:<>\r\n",
    "NUL octets": b"\0" * 64,
}


@pytest.mark.parametrize("attack", UNDER_TLS)
def test_under_tls(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("hello", [pytest.param(octets, id=name) for name, octets in HELLOS.items()])
@pytest.mark.parametrize("listener", ["mx", "submissions"])
def test_a_handshake_that_is_none_ends_the_connection(edge: ProbedEdge, listener: str, hello: bytes) -> None:
    with Attacker(edge.addresses[listener]) as client:
        _ask_for_tls(client, listener)
        client.say(hello)
        client.half_close()
        heard = client.rest()
    assert heard[:1] in (b"", b"\x15"), f"more than an alert: {heard!r}"
    assert edge.spooled() == []
    edge.logged()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("listener", ["mx", "submission", "submissions"])
def test_old_versions_are_refused(edge: ProbedEdge, listener: str, version: ssl.TLSVersion) -> None:
    with Attacker(edge.addresses[listener]) as client:
        _ask_for_tls(client, listener)
        with pytest.raises(ssl.SSLError):
            client.start_tls(_context(version))
    edge.logged()


@pytest.mark.parametrize("ciphers", ["NULL:@SECLEVEL=0", "ADH:AECDH:@SECLEVEL=0"])
def test_weak_ciphers_are_refused(edge: ProbedEdge, ciphers: str) -> None:
    context = _context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers)
    with Attacker(edge.addresses["submissions"]) as client, pytest.raises(ssl.SSLError):
        client.start_tls(context)
    edge.logged()


@pytest.mark.needs("openssl")
def test_a_client_may_not_renegotiate(edge: ProbedEdge) -> None:
    address = "{}:{}".format(*edge.addresses["mx"])
    command = ["openssl", "s_client", "-starttls", "smtp", "-tls1_2", "-connect", address]
    said = subprocess.run(command, input=b"R\n", capture_output=True, timeout=10, check=False)
    assert b"RENEGOTIATING" in said.stdout + said.stderr
    assert b"no renegotiation" in said.stderr
    edge.logged()


def test_plain_text_after_the_handshake_ends_the_connection(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.TLS)
        client.socket = socket.socket(fileno=client.socket.detach())  # what is sent now is not encrypted
        client.socket.settimeout(WITHIN_SECONDS)
        client.say(b"MAIL FROM:<>\r\n")
        heard = client.rest()
    assert heard[:1] in (b"", b"\x15", b"\x17")
    assert b"250" not in heard
    edge.logged()


def test_a_client_that_goes_away_within_the_handshake_harms_nobody(edge: ProbedEdge) -> None:
    for listener in ("mx", "submissions"):
        with Attacker(edge.addresses[listener]) as client:
            _ask_for_tls(client, listener)
            client.say(_client_hello()[:100])
            client.reset()
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.TLS)
        see_what_is_left(client, "usable")
    edge.logged()


def test_a_name_that_is_not_ours_is_served_the_one_certificate(edge: ProbedEdge) -> None:
    for name in ("other.example", "xn--" + "a" * 50, "127.0.0.1"):
        with Attacker(edge.addresses["submissions"]) as client:
            client.socket = ANY_CERTIFICATE.wrap_socket(client.socket, server_hostname=name)
            assert client.reply().startswith("220 ")


def _ask_for_tls(client: Attacker, listener: str) -> None:
    if listener != "submissions":
        prepare(client, After.EHLO)
        client.say(b"STARTTLS\r\n")
        assert client.reply().startswith("220 ")


def _context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


def _client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    connection = ANY_CERTIFICATE.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="mx.tripost.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()
