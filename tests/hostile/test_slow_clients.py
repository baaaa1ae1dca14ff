"""Clients that take their time, go away halfway, or do not listen (RFC 5321 §4.5.3.2)."""

import select
from collections.abc import Iterator

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Steps, prepare, see_what_is_left

APART_SECONDS = 0.02
MOST_DROPS = 200


def drip(client: Attacker, drops: Iterator[bytes] | list[bytes]) -> None:
    """Send drop by drop until the server has something to say."""
    for drop in drops:
        if select.select([client.socket], [], [], APART_SECONDS)[0]:
            return
        client.say(drop)
    raise AssertionError("the server waits for ever")


@pytest.mark.parametrize(
    ("after", "drop", "reply"),
    [
        pytest.param(After.GREETING, b"", "421 4.4.2 Timed out", id="silence after the greeting"),
        pytest.param(After.EHLO, b"", "421 4.4.2 Timed out", id="silence after EHLO"),
        pytest.param(After.RCPT, b"", "421 4.4.2 Timed out", id="silence within a transaction"),
        pytest.param(After.DATA, b"", "421 4.4.2", id="silence after 354"),
        pytest.param(After.GREETING, b"E", "421 4.4.2 Timed out", id="a first command octet by octet"),
        pytest.param(After.EHLO, b"N", "421 4.4.2 Timed out", id="a command octet by octet"),
        pytest.param(After.DATA, b"x", "421 4.4.2 Content arrives too slowly", id="content octet by octet"),
        pytest.param(After.DATA, b"\r\n", "421 4.4.2 Content arrives too slowly", id="empty lines one by one"),
    ],
)
def test_patience_ends(impatient: ProbedEdge, after: Steps, drop: bytes, reply: str) -> None:
    with Attacker(impatient.addresses["mx"]) as client:
        prepare(client, after)
        drip(client, [drop] * MOST_DROPS)
        assert client.reply().startswith(reply)
        see_what_is_left(client, CLOSED)
    assert impatient.spooled() == []
    impatient.logged()


def test_a_session_ends_however_busy_it_is(impatient: ProbedEdge) -> None:
    with Attacker(impatient.addresses["mx"]) as client:
        prepare(client, After.EHLO)
        for _ in range(90):
            client.say(b"NOOP\r\n")
            reply = client.reply()
            if not reply.startswith("250 "):
                break
            select.select([], [], [], 0.03)
        assert reply.startswith("421 4.4.2 Session lasts too long")
        see_what_is_left(client, CLOSED)
    impatient.logged()


@pytest.mark.parametrize(
    ("listener", "first"),
    [
        pytest.param("submissions", b"", id="no handshake"),
        pytest.param("submissions", b"\x16\x03\x01\x02\x00\x01", id="a handshake that stops"),
        pytest.param("proxy", b"", id="no PROXY header"),
        pytest.param("proxy", b"PROXY TCP4 192.0.2.1", id="a PROXY header that stops"),
        pytest.param("mx", b"STARTTLS\r\n", id="STARTTLS, and then nothing"),
    ],
)
def test_what_comes_before_the_greeting_must_come_in_time(impatient: ProbedEdge, listener: str, first: bytes) -> None:
    with Attacker(impatient.addresses[listener]) as client:
        if listener == "mx":
            prepare(client, After.EHLO)
        client.say(first)
        if listener == "mx":
            assert client.reply().startswith("220 ")
        assert client.rest()[:1] in (b"", b"\x15")  # no word, but perhaps an alert
    impatient.logged()


@pytest.mark.parametrize(
    ("after", "octets"),
    [
        pytest.param(After.CONNECTING, b"", id="at once"),
        pytest.param(After.GREETING, b"EHLO c", id="within a command"),
        pytest.param(After.RCPT, b"", id="within a transaction"),
        pytest.param(After.DATA, b"", id="after 354"),
        pytest.param(After.DATA, b"Subject: x\r\n\r\nx\r\n.", id="one CRLF before the end"),
        pytest.param(After.DATA, b"Subject: x\r\n\r\nx\r\n.\r", id="one LF before the end"),
        pytest.param(After.DATA, b"Subject: x\r\n\r\n" + b"x" * 200_000, id="within large content"),
        pytest.param(After.RCPT, b"BDAT 1000 LAST\r\nx", id="within a chunk"),
        pytest.param(After.TLS, b"MAIL FROM:<", id="within TLS"),
    ],
)
@pytest.mark.parametrize("how", ["half-closed", "reset"])
def test_who_goes_away_leaves_nothing(edge: ProbedEdge, after: Steps, octets: bytes, how: str) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, after)
        client.say(octets)
        if how == "reset":
            client.reset()
        else:
            client.half_close()
            assert b"250" not in client.rest()
    with Attacker(edge.addresses["mx"]) as next_client:
        prepare(next_client, After.EHLO)
        see_what_is_left(next_client, "usable")
    assert edge.spooled() == []
    edge.logged()


def test_who_closes_its_half_after_a_whole_session_hears_its_replies(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        client.say(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\nx\r\n.\r\n")
        client.half_close()
        assert client.rest().splitlines()[-1].startswith(b"250 2.0.0 Accepted as ")
    assert len(edge.spooled()) == 1
    edge.logged()


def test_who_reads_no_replies_costs_no_memory(edge: ProbedEdge) -> None:
    before = edge.memory_octets()
    crowd = [Attacker(edge.addresses["mx"]) for _ in range(30)]
    for client in crowd:
        client.say(b"HELP me\r\n" * 50_000)
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.EHLO)
        see_what_is_left(client, "usable")
    assert edge.memory_octets() - before < 16 << 20
    for client in crowd:
        client.socket.close()
    edge.logged()


def test_slow_clients_hold_up_nobody(edge: ProbedEdge) -> None:
    crowd = [Attacker(edge.addresses["mx"]) for _ in range(100)]
    for client in crowd:
        prepare(client, After.DATA)
        client.say(b"Subject: ")
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.DATA)
        client.say(b"x\r\n.\r\n")
        assert client.reply().startswith("250 2.0.0 ")
    for client in crowd:
        client.reset()
    assert len(edge.spooled()) == 1
    edge.logged()
