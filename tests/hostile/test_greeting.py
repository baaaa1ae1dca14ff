"""The first octets of a client, and other protocols on a mail port."""

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, probe

C, G = After.CONNECTING, After.GREETING
CLIENT_HELLO = bytes.fromhex("16030100750100007103")
PROBES = [
    probe("talks before the greeting", b"EHLO a.example\r\nNOOP\r\n", "220|250|250", after=C),
    probe("sends a whole message before the greeting", b"MAIL FROM:<a@b.example>\r\nDATA\r\n", "220|503|503", after=C),
    probe("NUL octets", b"\0\0\0\0\r\n", "500 5.5.2", after=G),
    probe("0xFF octets", b"\xff" * 64 + b"\r\n", "500 5.5.2", after=G),
    probe("Telnet negotiation", b"\xff\xfd\x03\xff\xfb\x18EHLO x\r\n", "500 5.5.2", after=G),
    probe("empty line", b"\r\n", "500 5.5.2", after=G),
    probe("blanks only", b"   \r\n", "500 5.5.2", after=G),
    probe("blanks before the verb", b" EHLO a.example\r\n", "500 5.5.2", after=G),
    probe("HTTP GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", after=G, then=CLOSED),
    probe("HTTP GET before the greeting", b"GET / HTTP/1.0\r\n\r\n", "220", after=C, then=CLOSED),
    probe("HTTP POST with SMTP in its body", b"POST / HTTP/1.1\r\n\r\nEHLO x\r\nNOOP\r\n", after=G, then=CLOSED),
    probe("HTTP in lower case", b"get / http/1.1\r\n\r\n", after=G, then=CLOSED),
    probe("HTTP CONNECT", b"CONNECT mx.dest.example:25 HTTP/1.1\r\n\r\n", after=G, then=CLOSED),
    probe("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", after=G, then=CLOSED),
    probe("a header line of HTTP", b"Host: mx.dest.example\r\n", after=G, then=CLOSED),
    probe("HTTP after EHLO", b"PUT /x HTTP/1.1\r\n\r\n", then=CLOSED),
    probe("TLS on the plain port", CLIENT_HELLO, after=G, then=CLOSED),
    probe("TLS on the plain submission port", CLIENT_HELLO, after=G, then=CLOSED, on="submission"),
    probe("PROXY header to who speaks none (v1)", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", after=G, then=CLOSED),
    probe(
        "PROXY header to who speaks none (v2)",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\x19\r\n",
        after=G,
        then=CLOSED,
    ),
    probe("SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n", "500 5.5.2", after=G),
    probe("SIP request", b"REGISTER sip:dest.example SIP/2.0\r\n", "500 5.5.2", after=G),
    probe("IMAP login", b"a1 LOGIN ann secret\r\n", "500 5.5.2", after=G),
    probe("POP3 login", b"USER ann\r\nPASS secret\r\n", "500|500", after=G),
    probe("a line of 3000 octets", b"x" * 3000 + b"\r\n", "500 5.5.2", after=G),
    probe("a line of 70,000 octets", b"EHLO " + b"x" * 70_000 + b"\r\n", "500 5.5.2", after=G),
    probe("a line without end", b"x" * 100_000, "421 4.7.0 Line without end", after=G, then=CLOSED),
]


@pytest.mark.parametrize("attack", PROBES)
def test_greeting(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"EHLO client.example\r\n", id="no header"),
        pytest.param(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n", id="a port that is none"),
        pytest.param(b"PROXY TCP4 192.0.2.1\r\nMAIL FROM:<> 192.0.2.2 1 25\r\n", id="CRLF in it"),
        pytest.param(b"PROXY TCP6 fe80::1%e\nth0 ::1 1 25\r\n", id="a zone with LF"),
        pytest.param(b"PROXY TCP4 " + b"1" * 200, id="without end"),
        pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", id="version 2 with 65,535 octets to come"),
        pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", id="version 3"),
    ],
)
def test_a_proxy_header_that_is_none(edge: ProbedEdge, header: bytes) -> None:
    with Attacker(edge.addresses["proxy"]) as client:
        client.say(header)
        assert client.rest() == b""
    assert [line["because"] for line in edge.logged() if line["event"] == "client cut off"] != []


def test_what_is_cut_off_is_told(edge: ProbedEdge) -> None:
    for octets, because in ((b"GET / HTTP/1.1\r\n", "HTTP"), (CLIENT_HELLO, "TLS on a plain port")):
        with Attacker(edge.addresses["mx"]) as client:
            client.reply()
            client.say(octets)
            assert client.rest() == b""
        assert [because in line["because"] for line in edge.logged() if line["event"] == "client cut off"] == [True]
