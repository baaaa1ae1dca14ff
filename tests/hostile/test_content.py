"""Messages that would write fields of ours, and headers that cost more than they are worth."""

import re

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, Steps, prepare, probe, see_what_is_left

DATA = After.DATA
OURS = b"Authentication-Results: mx.tripost.example; dkim=pass header.d=bank.example\r\n"
TAIL = b"From: a@b.example\r\n\r\nx\r\n"
RECEIVED = re.compile(
    rb"Received: from \S+ \(\[127\.0\.0\.1\]\) by mx\.tripost\.example \(Tripost\) with (?:UTF8)?E?SMTPS?"
    rb"(?: \(TLS\S+ \S+\))? id [0-9a-z.]+(?: for <[^\r\n]+>)?; \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000"
)
HEADERS = [
    probe("no header", b"no header here\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("no header, an empty line first", b"\r\nno header\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a header that never ends", b"Subject: x\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a line that is no field", b"Subject: x\r\nnonsense\r\n" + TAIL + b".\r\n", "250", after=DATA, spooled=1),
    probe("a field without a name", b": x\r\n" + TAIL + b".\r\n", "250", after=DATA, spooled=1),
    probe("1,000 fields", b"X: y\r\n" * 999 + TAIL + b".\r\n", "250", after=DATA, spooled=1),
    probe("1,001 fields", b"X: y\r\n" * 1000 + TAIL + b".\r\n", "554 5.6.0", after=DATA),
    probe("100,000 fields", b"X:\r\n" * 60_000 + TAIL + b".\r\n", "554 5.6.0", after=DATA),
    probe("a header of 300 KB", b"X: " + b"y" * 300_000 + b"\r\n" + TAIL + b".\r\n", "552 5.3.4", after=DATA),
    probe("a header of 300 KB that never ends", b"y" * 300_000 + b"\r\n.\r\n", "552 5.3.4", after=DATA),
    probe(
        "a field folded 100,000 times", b"X: y\r\n" + b" \r\n" * 80_000 + TAIL + b".\r\n", "250", after=DATA, spooled=1
    ),
    probe("50 Received fields", b"Received: x\r\n" * 50 + TAIL + b".\r\n", "250", after=DATA, spooled=1),
    probe("51 Received fields", b"Received: x\r\n" * 51 + TAIL + b".\r\n", "554 5.4.6", after=DATA),
    probe("51 of them in other letters", b"rEcEiVeD : x\r\n" * 51 + TAIL + b".\r\n", "554 5.4.6", after=DATA),
    probe("51 of them, folded", b"Received:\r\n x\r\n" * 51 + TAIL + b".\r\n", "554 5.4.6", after=DATA),
    probe("51 of them in the body", TAIL + b"Received: x\r\n" * 51 + b".\r\n", "250", after=DATA, spooled=1),
    probe(
        "all octets above 127",
        b"Subject: x\r\n\r\n" + bytes(range(128, 256)) + b"\r\n.\r\n",
        "250",
        after=DATA,
        spooled=1,
    ),
    probe(
        "all control characters but CR, LF and NUL",
        TAIL + bytes(set(range(1, 32)) - {10, 13}) + b"\r\n.\r\n",
        "250",
        after=DATA,
        spooled=1,
    ),
    probe("a line of a megabyte", TAIL + b"x" * (1 << 20) + b"\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a megabyte of empty lines", TAIL + b"\r\n" * (1 << 19) + b".\r\n", "250", after=DATA, spooled=1),
    probe("a megabyte of stuffed dots", TAIL + b"..\r\n" * (1 << 18) + b".\r\n", "250", after=DATA, spooled=1),
]


@pytest.mark.parametrize("attack", HEADERS)
def test_headers(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize(
    ("forged", "kept"),
    [
        pytest.param(OURS, b"", id="Authentication-Results in our name"),
        pytest.param(OURS.upper(), b"", id="in capitals"),
        pytest.param(OURS.replace(b":", b" \t:", 1), b"", id="blanks before the colon"),
        pytest.param(OURS.replace(b": ", b":\r\n\t", 1), b"", id="folded"),
        pytest.param(OURS.replace(b"s: ", b"s: (a (nested) comment) ", 1), b"", id="behind a comment"),
        pytest.param(OURS.replace(b"mx.", b'"mx".', 1), b"", id="in quotes"),
        pytest.param(OURS.replace(b"example;", b"example 1;", 1), b"", id="with a version"),
        pytest.param(OURS * 3, b"", id="three times"),
        pytest.param(OURS.replace(b"mx.", b"mx2.", 1), OURS.replace(b"mx.", b"mx2.", 1), id="of another host stays"),
        pytest.param(b"Return-Path: <ceo@bank.example>\r\n", b"", id="Return-Path"),
        pytest.param(b"Return-Path:\r\n <ceo@bank.example>\r\n", b"", id="Return-Path, folded"),
        pytest.param(b"return-PATH\t: <>\r\n", b"", id="Return-Path, odd spelling"),
        pytest.param(b"X-Spam-Flag: NO\r\nX-Spam-Status: No, score=-99\r\n", b"", id="marks of the filter"),
        pytest.param(b" folded to the field before\r\n", b"", id="a folded first line"),
        pytest.param(b"\t; spf=pass\r\n\tdkim=pass\r\n", b"", id="several folded first lines"),
    ],
)
def test_forged_fields_are_taken_out(edge: ProbedEdge, forged: bytes, kept: bytes) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, DATA)
        client.say(forged + TAIL + b".\r\n")
        assert client.reply().startswith("250 ")
        see_what_is_left(client, "usable")
    (message,) = edge.spooled()
    assert message.content.inline == kept + TAIL
    edge.logged()


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(((f"EHLO {name}\r\n".encode(), "250"),), id=f"EHLO {name[:40]}")
        for name in (
            "a;b",
            "a(b",
            "a)b",
            "(((((((((",
            '"',
            "a\\",
            "<x@y>",
            "[127.0.0.1]",
            "a,b",
            "by:mx.tripost.example",
            "x" * 255,
            "Received:",
            "=?utf-8?q?=0D=0ABcc:x?=",
            "%0d%0aBcc:x",
            "\\r\\nBcc:x",
        )
    ]
    + [
        pytest.param(((b"EHLO c\r\n", "250"), (b"MAIL FROM:" + path + b"\r\n", "250")), id=f"MAIL FROM:{path.decode()}")
        for path in (
            b'<"a\\"; b (c"@d.example>',
            b'<"a> SIZE=1 (b"@c.example>',
            "<ü@b.example> SMTPUTF8".encode(),
        )
    ],
)
def test_nothing_that_a_client_says_breaks_out_of_received(edge: ProbedEdge, steps: Steps) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, (*After.GREETING, *steps))
        if len(steps) == 1:
            prepare(client, ((b"MAIL FROM:<>\r\n", "250"),))
        prepare(client, ((b'RCPT TO:<"a> ; by evil (b"@relayed.example>\r\n', "250"), (b"DATA\r\n", "354")))
        client.say(TAIL + b".\r\n")
        assert client.reply().startswith("250 ")
        see_what_is_left(client, "usable")
    (message,) = edge.spooled()
    unfolded = b" ".join(message.header_fields.split())
    assert RECEIVED.fullmatch(unfolded), unfolded
    edge.logged()


def test_a_recipient_is_named_only_where_there_is_one(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, (*After.RCPT, (b"RCPT TO:<bob@dest.example>\r\n", "250"), (b"DATA\r\n", "354")))
        client.say(TAIL + b".\r\n")
        assert client.reply().startswith("250 ")
        see_what_is_left(client, "usable")
    (message,) = edge.spooled()
    assert b"@dest.example" not in message.header_fields
    edge.logged()


def test_what_is_refused_costs_no_memory(edge: ProbedEdge) -> None:
    """20 MB behind a bare LF are read, since an end mark must come, and thrown away."""
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, DATA)
        before = edge.memory_octets()
        client.say(TAIL + b"\n")
        for _ in range(20):
            client.say(b"x" * (1 << 20))
        assert edge.memory_octets() - before < 8 << 20
        client.say(b"\r\n.\r\n")
        assert client.reply().startswith("550 5.5.2")
        see_what_is_left(client, CLOSED)
    assert edge.spooled() == []
    edge.logged()
