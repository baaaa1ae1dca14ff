"""Clients that want more than a session grants."""

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, prepare, probe, see_what_is_left

DATA, MAIL = After.DATA, After.MAIL
NOT_A_COMMAND = b"FOO\r\n"
GUESS = b"RCPT TO:<nobody@dest.example>\r\n"
TO_OTHERS = b"RCPT TO:<x@far.example>\r\n"
LARGE = b"x" * 998 + b"\r\n"
PROBES = [
    probe("21 slips", NOT_A_COMMAND * 21, "|".join(["500"] * 21 + ["421 4.7.0 Too many errors"]), then=CLOSED),
    probe("20 slips are taken", NOT_A_COMMAND * 20, "|".join(["500"] * 20)),
    probe(
        "slips of all kinds",
        b"FOO\r\nEXPN x\r\nDATA\r\nMAIL FROM:x\r\nMAIL FROM:<> X=1\r\n\0\r\n\r\n" * 3,
        "|".join(["500", "502", "503", "501", "555", "500", "500"] * 3 + ["421"]),
        then=CLOSED,
    ),
    probe(
        "51 guesses", GUESS * 51, "|".join(["550 5.1.1"] * 51 + ["421 4.7.0 Too many unknown"]), after=MAIL, then=CLOSED
    ),
    probe(
        "guesses, RSET between them",
        (b"MAIL FROM:<>\r\n" + GUESS * 17 + b"RSET\r\n") * 3,
        "|".join((["250"] + ["550"] * 17 + ["250"]) * 2 + ["250"] + ["550"] * 17 + ["421"]),
        then=CLOSED,
    ),
    probe(
        "101 refused recipients",
        TO_OTHERS * 101,
        "|".join(["550 5.7.1"] * 101 + ["421 4.7.0"]),
        after=MAIL,
        then=CLOSED,
    ),
    probe(
        "100 idle commands",
        b"NOOP\r\n" * 100,
        "|".join(["250"] * 99 + ["421 4.7.0 Too many commands without"]),
        then=CLOSED,
    ),
    probe("EHLO again and again", b"EHLO c\r\n" * 100, "|".join(["250"] * 99 + ["421 4.7.0"]), then=CLOSED),
    probe(
        "MAIL and RSET again and again",
        b"MAIL FROM:<>\r\nRSET\r\n" * 100,
        "|".join(["250"] * 199 + ["421 4.7.0"]),
        then=CLOSED,
    ),
    probe(
        "101 recipients",
        b"".join(b"RCPT TO:<r%d@dest.example>\r\n" % n for n in range(101)),
        "|".join(["250"] * 100 + ["452 4.5.3"]),
        after=MAIL,
    ),
    probe(
        "a recipient a thousand times is one",
        b"RCPT TO:<ann@dest.example>\r\n" * 1000 + b"DATA\r\n.\r\n",
        "|".join(["250"] * 1000 + ["354", "250"]),
        after=MAIL,
        spooled=1,
    ),
    probe("SIZE beyond the limit", b"MAIL FROM:<> SIZE=67108865\r\n", "552 5.3.4"),
]
IMPATIENT = [
    probe("content beyond the limit", TAIL := LARGE * 101 + b".\r\n", "552 5.3.4", after=DATA),
    probe(
        "content beyond the limit that was announced as small",
        b"MAIL FROM:<> SIZE=10\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\n" + TAIL,
        "250|250|354|552",
    ),
    probe("content far beyond the limit", LARGE * 201, "552 5.3.4", after=DATA, then=CLOSED),
    probe("chunks beyond the limit", b"BDAT 100001 LAST\r\n" + b"x" * 100_001, "552 5.3.4", after=After.RCPT),
    probe(
        "101 commands", b"NOOP\r\n" * 101, "|".join(["250"] * 99 + ["421 4.7.0 Too many commands in one"]), then=CLOSED
    ),
    probe(
        "commands that cannot be read count too",
        (b"NOOP\r\n" * 9 + b"\0\r\n") * 11,
        "|".join((["250"] * 9 + ["500"]) * 9 + ["250"] * 9 + ["421"]),
        then=CLOSED,
    ),
    probe(
        "three messages",
        b"MAIL FROM:<>\r\nRSET\r\n" * 3 + b"MAIL FROM:<>\r\n",
        "|".join(["250"] * 6 + ["421 4.7.0 Too many messages"]),
        then=CLOSED,
    ),
]


@pytest.mark.parametrize("attack", PROBES)
def test_limits(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", IMPATIENT)
def test_narrow_limits(impatient: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(impatient)) == attack.spooled


def test_three_hundred_idle_clients_leave_room_for_the_next(edge: ProbedEdge) -> None:
    idle = [Attacker(edge.addresses["mx"]) for _ in range(300)]
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.RCPT)
        see_what_is_left(client, "usable")
    for one in idle:
        one.socket.close()
    edge.logged()


def test_clients_of_one_kind_of_listener_leave_room_for_the_other(edge: ProbedEdge) -> None:
    """By default 1,000 sessions, three quarters of them at most of one kind."""
    crowd = [Attacker(edge.addresses["mx"]) for _ in range(751)]
    try:
        greetings = [one.reply()[:9] for one in crowd]
        assert greetings[-1] == "421 4.3.2"
        assert greetings.count("220 mx.tr") >= 700
        with Attacker(edge.addresses["submission"]) as client:
            prepare(client, After.TLS)
            see_what_is_left(client, "usable")
    finally:
        for one in crowd:
            one.socket.close()
    edge.logged()
