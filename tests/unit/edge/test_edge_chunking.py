"""The same octets give the same session, however the network cuts them."""

import asyncio
import ssl
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_world import EdgeWorld
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind

SESSION = (
    b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@dest.example>\r\n"
    b"RCPT TO:<ann@dest.example>\r\nRCPT TO:<ann@dest.example>\r\nRCPT TO:bad\r\nRCPT TO:<bob@dest.example>\r\n"
    b"rcpt\nto:<x>\r\nRCPT TO:<\x00>\r\nRCPT TO:<bob@dest.example>\r\n"
    b"DATA\r\nSubject: x\r\nReceived: by b\r\n\r\n.. a dot\r\n.hidden\r\n.\r\n"
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\n.\r\n"
    b"XYZZY\r\n\r\nRSET\r\n"
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@dest.example>\r\nBDAT 14\r\nSubject: y\r\n\r\n"
    b"BDAT 10 LAST\r\n\r\n.\r\nRSET\r"
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@dest.example>\r\nBDAT 12\r\nx\r\n.\r\nRSET\r\nBDAT 0 LAST\r\n"
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ann@dest.example>\r\nDATA\r\nbare\nline\r\n.\n\r\n.\r\nQUIT\r\n"
)
CODES = [
    "220 mx.tripo",
    "250 STARTTLS",
    *("250 2.1.0 OK", "550 5.1.1 No", "250 2.1.5 OK", "250 2.1.5 OK", "501 5.5.4 Sy", "250 2.1.5 OK", "500 5.5.2 Li"),
    *("500 5.5.2 Li", "250 2.1.5 OK", "354 End data", "250 2.0.0 Ac"),
    *("250 2.1.0 OK", "250 2.1.5 OK", "354 End data", "250 2.0.0 Ac"),
    *("500 5.5.2 Co", "500 5.5.2 Co", "250 2.0.0 OK"),
    *("250 2.1.0 OK", "250 2.1.5 OK", "250 2.0.0 14", "550 5.5.2 Me"),
    *("250 2.1.0 OK", "250 2.1.5 OK", "250 2.0.0 12", "250 2.0.0 Ac"),
    *("250 2.1.0 OK", "250 2.1.5 OK", "354 End data", "550 5.5.2 Me"),
]


class RecordingTransport(asyncio.Transport):
    """Keeps what is written, and passes nothing on."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 40000) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed.set()

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """The test goes on all the same."""

    def resume_reading(self) -> None:
        """See above."""


async def play(chunks: list[bytes]) -> tuple[EdgeWorld, RecordingTransport]:
    """Give a session the chunks, each after it has done what it could with the one before."""
    world = await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).serve()
    transport = RecordingTransport()
    session = SmtpSession(
        asyncio.get_running_loop(),
        world.edge.context,
        ProfileInForce(ListenerProfile("mx", ListenerKind.MX, limits=EdgeLimits(greeting_delay_seconds=0))),
    )
    session.connection_made(transport)
    for chunk in chunks:
        await _until(lambda: session._arrival is not None)
        session.data_received(chunk)
    async with asyncio.timeout(5):
        await transport.closed.wait()
    session.connection_lost(None)
    await _until(lambda: len(world.edge.registry) == 0)
    return world, transport


async def _until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)


def check(chunks: list[bytes]) -> list[bytes]:
    """Play the session; gives what was written, call by call."""
    world, transport = asyncio.run(play(chunks))
    lines = b"".join(transport.writes).decode().splitlines()
    assert [line[:12] for line in lines if line[3] == " "] == CODES
    first, second, third = world.spooled
    assert first.content.inline == b"Subject: x\r\nReceived: by b\r\n\r\n. a dot\r\nhidden\r\n"
    assert [one.address for one in first.envelope.recipients] == ["ann@dest.example", "bob@dest.example"]
    assert second.content.inline == b""
    assert third.content.inline == b"x\r\n.\r\nRSET\r\n"
    return transport.writes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, len(SESSION) - 1), max_size=12, unique=True))
def test_the_result_does_not_depend_on_how_octets_are_cut(cuts: list[int]) -> None:
    ordered = sorted(cuts)
    check([SESSION[start:end] for start, end in zip([0, *ordered], [*ordered, len(SESSION)], strict=True)])


def test_octet_by_octet_it_is_the_same() -> None:
    check([bytes((octet,)) for octet in SESSION])


def test_replies_of_a_burst_go_out_in_one_write() -> None:
    """RFC 2920 §3.2: what is pipelined in one piece is answered in one piece."""
    greeting, all_others = check([SESSION])
    assert greeting.startswith(b"220 ")
    assert all_others.count(b"\r\n") > 20
