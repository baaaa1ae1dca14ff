"""No octets of a message are ever taken for commands, and no two readers of it can disagree (RFC 5321 §2.3.8)."""

import pytest

from dialog import Dialog
from edge_world import EdgeWorld

SMUGGLED = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\nsmuggled\r\n.\r\n"


@pytest.mark.parametrize(
    "false_end",
    [
        pytest.param(b"\n.\n", id="LF . LF"),
        pytest.param(b"\r.\r", id="CR . CR"),
        pytest.param(b"\r\n.\n", id="CRLF . LF"),
        pytest.param(b"\n.\r\n", id="LF . CRLF"),
        pytest.param(b"\r.\r\n", id="CR . CRLF"),
        pytest.param(b"\r\n.\r", id="CRLF . CR"),
        pytest.param(b"\r\n.\r\r\n", id="CRLF . CR CRLF"),
        pytest.param(b"\r\r\n.\r\r\n", id="CR CRLF . CR CRLF"),
        pytest.param(b"\n\r\n.\n", id="LF CRLF . LF"),
        pytest.param(b"\r\n\0.\r\n", id="NUL before the dot"),
        pytest.param(b"\r\n.\0\r\n", id="NUL behind the dot"),
        pytest.param(b"\r\r\n.\r\n", id="CR before the end itself: what follows may be content to whoever sent it"),
    ],
)
async def test_a_false_end_of_data_refuses_the_whole_message(
    world: EdgeWorld, dialog: Dialog, false_end: bytes
) -> None:
    await dialog("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *")
    dialog.send(b"Subject: x\r\n\r\nbody" + false_end + SMUGGLED)
    assert (await dialog.read_reply()).startswith("550 5.5.2 ")
    assert await dialog.read_to_end() == b""
    assert world.spooled == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"NOOP\nMAIL FROM:<>", id="LF"),
        pytest.param(b"NOOP\rMAIL FROM:<>", id="CR"),
        pytest.param(b"NOOP\0", id="NUL"),
        pytest.param(b"NOOP \xff", id="not UTF-8"),
        pytest.param(b"NOOP " + b"x" * 3000, id="too long"),
        pytest.param(b"NOOP " + b"x" * 70_000, id="far too long"),
    ],
)
async def test_a_line_ends_at_crlf_alone(dialog: Dialog, line: bytes) -> None:
    dialog.send(line + b"\r\nNOOP\r\n")
    assert (await dialog.read_reply()).startswith("500 5.5.2 ")
    assert (await dialog.read_reply()).startswith("250 2.0.0 ")
