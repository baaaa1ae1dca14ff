"""Content ends at CRLF.CRLF and nowhere else, in whatever pieces it comes (RFC 5321 §2.3.8, §4.1.1.4; SMTP smuggling).

Behind each false end stand commands that would send a second message, were they obeyed.
"""

from itertools import product

import pytest

from attacker import Attacker
from probed_edge import ProbedEdge
from probes import CLOSED, After, Probe, prepare, probe, see_what_is_left

DATA = After.DATA
SMUGGLED = b"MAIL FROM:<admin@b.example>\r\nRCPT TO:<bob@dest.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
HEAD = b"Subject: x\r\n\r\n"
IN_WORDS = {
    b"\r": "CR",
    b"\n": "LF",
    b"\r\n": "CRLF",
    b"": "nothing",
    b"\0": "NUL",
    b"\n\r": "LFCR",
    b"\r\r\n": "CRCRLF",
}

# All ways to write a dot between two line ends of which at least one is none.
FALSE_ENDS = [
    probe(
        f"{IN_WORDS[before]} . {IN_WORDS[behind]}",
        HEAD + b"x" + before + b"." + behind + SMUGGLED,
        "550 5.5.2",
        after=DATA,
        then=CLOSED,
    )
    for before, behind in product((b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n", b"\0"), repeat=2)
    if (before, behind) != (b"\r\n", b"\r\n")
]
# Those in which the published attacks hide the end, as well as what mail programs have been seen to send.
OTHER_ENDS = [
    probe("NUL between dot and CRLF", HEAD + b"\r\n.\0\r\n" + SMUGGLED, "550 5.5.2", after=DATA, then=CLOSED),
    probe("NUL between CRLF and dot", HEAD + b"\r\n\0.\r\n" + SMUGGLED, "550 5.5.2", after=DATA, then=CLOSED),
    probe("NUL within CRLF", HEAD + b"x\r\0\n.\r\n" + SMUGGLED, "550 5.5.2", after=DATA, then=CLOSED),
    probe("dot, blank, CRLF", HEAD + b"x\r\n. \r\n.\r\n", "250", after=DATA, spooled=1),
    probe("dot, TAB, CRLF", HEAD + b"x\r\n.\t\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("blank, dot, CRLF", HEAD + b"x\r\n .\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("two dots", HEAD + b"x\r\n..\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a backspace behind the dot", HEAD + b"x\r\n.\x08\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("quoted-printable line end", HEAD + b"x=0D=0A.=0D=0A\r\n.\r\n", "250", after=DATA, spooled=1),
    *(
        probe(
            f"{name} as line ends",
            HEAD + b"x" + octets + b"." + octets + SMUGGLED.replace(b"\r\n", octets) + b"\r\n.\r\n",
            "250",
            after=DATA,
            spooled=1,
        )
        for name, octets in {
            "VT": b"\x0b",
            "FF": b"\x0c",
            "FS": b"\x1c",
            "RS": b"\x1e",
            "NEL (UTF-8)": b"\xc2\x85",
            "NEL (Latin-1)": b"\x85",
            "EBCDIC NL": b"\x15",
            "LS": b"\xe2\x80\xa8",
            "PS": b"\xe2\x80\xa9",
            "overlong CR LF": b"\xc0\x8d\xc0\x8a",
            "U+560D U+560A (low octets CR LF)": "\u560d\u560a".encode(),
        }.items()
    ),
    probe("CRLF in UTF-16", HEAD + "x\r\n.\r\n".encode("utf-16-be") + SMUGGLED, "550 5.5.2", after=DATA, then=CLOSED),
    probe("an ideographic full stop", HEAD + b"x\r\n\xe3\x80\x82\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a full-width full stop", HEAD + b"x\r\n\xef\xbc\x8e\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("nothing but the end", b".\r\n", "250", after=DATA, spooled=1),
    probe("an empty line and the end", b"\r\n.\r\n", "250", after=DATA, spooled=1),
    probe("a bare LF in the header", b"Subject: x\nBcc: y\r\n\r\nx\r\n.\r\n", "550 5.5.2", after=DATA, then=CLOSED),
    probe("a bare CR in the header", b"Subject: x\rBcc: y\r\n\r\nx\r\n.\r\n", "550 5.5.2", after=DATA, then=CLOSED),
    probe("a bare LF far behind", HEAD + b"x" * 300_000 + b"\n\r\n.\r\n", "550 5.5.2", after=DATA, then=CLOSED),
    probe("the end, and a command without a pause", HEAD + b".\r\nNOOP\r\n", "250|250", after=DATA, spooled=1),
    probe("the end twice", HEAD + b".\r\n.\r\n", "250|500", after=DATA, spooled=1),
    probe("a real second message is one", HEAD + b".\r\n" + SMUGGLED, "250|250|250|354|250", after=DATA, spooled=2),
]
SPLIT_ENDS = [
    probe(f"the end cut after {cut} octets", (HEAD + b"x" + end[:cut], end[cut:]), "250", after=DATA, spooled=1)
    for end in (b"\r\n.\r\n",)
    for cut in range(1, len(end))
] + [
    probe("the end octet by octet", (HEAD + b"x", b"\r", b"\n", b".", b"\r", b"\n"), "250", after=DATA, spooled=1),
    probe("LF . LF octet by octet", (HEAD + b"x", b"\n", b".", b"\n", SMUGGLED), "550 5.5.2", after=DATA, then=CLOSED),
    probe("CR . CR octet by octet", (HEAD + b"x", b"\r", b".", b"\r", SMUGGLED), "550 5.5.2", after=DATA, then=CLOSED),
    probe("CRLF . LF in pieces", (HEAD + b"x\r\n", b".", b"\n", SMUGGLED), "550 5.5.2", after=DATA, then=CLOSED),
    probe("CRLF . CR in pieces", (HEAD + b"x\r\n.", b"\r", SMUGGLED), "550 5.5.2", after=DATA, then=CLOSED),
    probe("LF . CRLF in pieces", (HEAD + b"x\n", b".\r\n", SMUGGLED), "550 5.5.2", after=DATA, then=CLOSED),
    probe("CR alone, LF in the next packet", (HEAD + b"x\r", b"\n.\r", b"\n"), "250", after=DATA, spooled=1),
    probe("dot-stuffing cut in two", (HEAD + b"x\r\n.", b".\r\n.\r\n"), "250", after=DATA, spooled=1),
    probe("a CR that no LF follows at the end", (HEAD + b"x\r", b"x\r\n.\r\n"), "550 5.5.2", after=DATA, then=CLOSED),
]


@pytest.mark.parametrize("attack", FALSE_ENDS)
def test_false_ends(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", OTHER_ENDS)
def test_other_ends(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", SPLIT_ENDS)
def test_ends_in_pieces(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(b"..\r\n", b".\r\n", id="two dots are one"),
        pytest.param(b"...\r\n", b"..\r\n", id="three are two"),
        pytest.param(b".x\r\n", b"x\r\n", id="one before a letter is none"),
        pytest.param(b"..\r\n..\r\n", b".\r\n.\r\n", id="on each line"),
        pytest.param(b"x.\r\n", b"x.\r\n", id="not at the end of a line"),
        pytest.param(b". \r\n", b" \r\n", id="one before a blank is none"),
    ],
)
def test_dots_at_the_beginning_of_lines(edge: ProbedEdge, sent: bytes, kept: bytes) -> None:
    with Attacker(edge.addresses["mx"]) as client:
        prepare(client, DATA)
        client.say(HEAD + sent + b".\r\n")
        assert client.reply().startswith("250 ")
        see_what_is_left(client, "usable")
    (message,) = edge.spooled()
    assert message.content.inline == HEAD + kept
