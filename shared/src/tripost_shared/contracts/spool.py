"""What edge hands to domains through SPOOL: an accepted message with its trace."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from tripost_shared.contracts.filter import Verdict
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope

SPOOL_SUBJECT: Final = "spool.v1"  # followed by `.` and the partition's number
MOST_PARTITIONS: Final = 64


class Direction(StrEnum):
    """Where a message comes from."""

    INBOUND = "inbound"  # from a client that is not ours
    OUTBOUND = "outbound"  # from an authenticated or permitted client
    BOUNCE = "bounce"  # a DSN of ours


class SpooledMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accepted message.

    `header_fields` (Received, Authentication-Results …; whole fields, each with its CRLF) go on top of the content.
    `sender_is_doubtful`: SPF says that the client had no right to the reverse-path, or hardly any.
    """

    id: str
    received_at: datetime
    direction: Direction
    client: Client
    envelope: Envelope
    content: Content
    header_fields: bytes = b""
    verdict: Verdict | None = None
    sender_is_doubtful: bool = False
