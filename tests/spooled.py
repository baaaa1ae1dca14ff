"""Messages for tests of the spool."""

from datetime import UTC, datetime

from tripost_shared.bus.encoding import encode
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.header import is_printable, raw_fields


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


def see_that_it_is_clean(message: SpooledMessage) -> None:
    """Fail where a message has what none may have, or more than one field of ours on top."""
    content = message.content.inline or b""
    assert is_clean(content)
    assert is_clean(message.header_fields)
    assert not content or content.endswith(b"\r\n")
    (ours,) = raw_fields(message.header_fields)
    assert ours.startswith(b"Received:")
    for address in (message.envelope.reverse_path, *(one.address for one in message.envelope.recipients)):
        assert is_printable(address)


def is_clean(octets: bytes) -> bool:
    """Whether it has no bare CR or LF and no NUL."""
    return octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n") and b"\0" not in octets
