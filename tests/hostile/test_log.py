"""What a client says is in the log as a fact of a line of ours, and never a line, a key or a colour of its own."""

import base64
import json

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, prepare, see_what_is_left

MARK = "intruder"
FORGED = json.dumps({"event": "message accepted", "service": "edge", "level": "info", "timestamp": MARK})


def test_a_name_in_json_is_a_text(edge: ProbedEdge) -> None:
    name = 'x","event":"forged","level":"error'
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.GREETING)
        client.say(f"EHLO {name}\r\nMAIL FROM:<>\r\nRCPT TO:<x@far.example>\r\n".encode())
        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "550"]
        see_what_is_left(client, "usable")
    lines = [line for line in edge.logged() if line.get("helo") == name]
    assert "command refused" in {line["event"] for line in lines}
    assert "forged" not in {line["event"] for line in lines}


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(f"x\n{FORGED}\n", id="LF"),
        pytest.param(f"x\r\n{FORGED}\r\n", id="CRLF"),
        pytest.param(f"x\u2028{FORGED}\u2029", id="LS and PS"),
        pytest.param(f"x\u0085{FORGED}", id="NEL"),
        pytest.param(f"x\x1b[2J\x1b]0;{MARK}\x07", id="escape sequences"),
        pytest.param(f"x\x9b31m{MARK}", id="CSI of C1"),
        pytest.param(f"x\u202e{MARK}", id="right-to-left override"),
        pytest.param(f"x\x08\x08\x08{MARK}", id="backspaces"),
    ],
)
def test_a_user_name_that_fails_is_not_in_the_log(edge: ProbedEdge, user: str) -> None:
    """AUTH carries any octets, since they come in base64."""
    with Attacker(edge.addresses["submission"]) as client:
        prepare(client, After.TLS)
        client.say(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0x".encode()) + b"\r\n")
        assert client.reply().startswith("535 ")
        see_what_is_left(client, "usable")
    assert "refused" in {line["event"] for line in edge.logged()}
    assert MARK not in edge.process.said()


@pytest.mark.parametrize(
    "argument",
    [
        pytest.param('<"%s%n${jndi:ldap://x}"@b.example>', id="format strings"),
        pytest.param("<{session}{0}@b.example>", id="braces"),
        pytest.param('<"[bold red]x[/]"@b.example>', id="mark-up of a terminal"),
        pytest.param("<ü\u200b\u00a0@b.example> SMTPUTF8", id="odd blanks"),
        pytest.param("<\U0001f4a9@b.example> SMTPUTF8", id="beyond the basic plane"),
    ],
)
def test_a_reverse_path_is_a_text(edge: ProbedEdge, argument: str) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.EHLO)
        client.say(f"MAIL FROM:{argument}\r\nRCPT TO:<nobody@dest.example>\r\n".encode())
        assert [client.reply()[:3] for _ in range(2)] == ["250", "550"]
        see_what_is_left(client, "usable")
    path = argument.partition("<")[2].rpartition(">")[0]
    told = [line for line in edge.logged() if "recipient" in line]
    assert [line["reverse_path"] for line in told] == [path] * len(told)
    assert told


def test_a_subject_is_not_in_the_log(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.DATA)
        client.say(b"Subject: " + MARK.encode() + b"\x1b[31m\r\n\r\nbody of " + MARK.encode() + b"\r\n.\r\n")
        assert client.reply().startswith("250 ")
        see_what_is_left(client, "usable")
    assert len(edge.spooled()) == 1
    assert not [line for line in edge.logged() if MARK in json.dumps(line)]


def test_octets_that_are_no_command_are_not_in_the_log(edge: ProbedEdge) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, After.EHLO)
        client.say(f"\x1b[31m{MARK}\nNOOP\r\n{MARK} x\r\nQUIT\r\n".encode())
        assert [client.reply()[:3] for _ in range(3)] == ["500", "500", "221"]
        see_what_is_left(client, CLOSED)
    assert not [line for line in edge.logged() if MARK in json.dumps(line)]


def test_the_whole_log_has_one_event_a_line(edge: ProbedEdge) -> None:
    """Whatever was said to this edge before."""
    lines = edge.process.said().splitlines(keepends=True)
    assert lines
    for line in lines:
        assert line.endswith("}\n")
        assert json.loads(line)["service"] == "edge"
