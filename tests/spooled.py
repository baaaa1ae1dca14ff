"""Messages for tests of the spool."""

from datetime import UTC, datetime

from tripost_shared.bus.encoding import encode
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient


def spooled_message(number: int, size_octets: int = 4000) -> SpooledMessage:
    """Give the n-th message of one session."""
    return SpooledMessage(
        id=f"1k3v9q2m8f0abcde.{number}",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        direction=Direction.INBOUND,
        client=Client("192.0.2.7"),
        envelope=Envelope("", (Recipient("bob@b.example"),)),
        content=Content.of(b"x" * size_octets),
    )


def damaged_message(number: int) -> bytes:
    """Give the octets of the n-th message with one damaged: MessagePack still, but a text in it is no UTF-8."""
    return encode(spooled_message(number)).replace(b"bob@b.example", b"\xffob@b.example")
