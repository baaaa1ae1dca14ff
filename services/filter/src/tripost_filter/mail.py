"""The mail that checks are given: the facts of one question, taken apart once and only as far as asked for."""

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.address import Address, InvalidAddress, parse_path
from tripost_shared.mail.client import Client
from tripost_shared.mail.header import raw_fields, split_message

LARGE_OCTETS: Final = 256 * 1024  # above it, work on the octets (1 ms and more) does not belong on the event loop
MAX_HEADER_OCTETS: Final = 256 * 1024  # what is after them is not taken for header fields, so that a hostile header
MAX_FIELDS: Final = 1000  # costs no more than a few milliseconds


class Field(NamedTuple):
    """A header field: its name in lower case ("" for a line without a colon), and its octets with folds and CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The raw value after the colon, final CRLF kept."""
        return self.raw.partition(b":")[2]


class Mail:
    """What is known of a client, an envelope and a message at some stage.

    `reverse_path` is None until MAIL, and "" for the null one. `recipient` is the one asked about at the recipient
    stage, else "". `octets` is empty until the content is there; `is_complete` tells whether it holds all of it.
    `findings` are those of earlier stages. `look_up_until` is the time of the monotonic clock at which every look-up of
    the stage must have ended.
    """

    def __init__(
        self,
        client: Client,
        *,
        reverse_path: str | None = None,
        recipient: str = "",
        octets: bytes | None = None,
        is_complete: bool = True,
        findings: Sequence[Finding] = (),
        look_up_until: float = math.inf,
    ) -> None:
        self.client = client
        self.reverse_path = reverse_path
        self.recipient = recipient
        self.octets = octets or b""
        self._is_complete = is_complete
        self.findings = findings
        self.look_up_until = look_up_until

    @property
    def helo(self) -> str:
        """The name in HELO or EHLO, as the client gave it; "" before."""
        return self.client.helo

    @property
    def is_large(self) -> bool:
        """Whether its octets are too many to go through on the event loop."""
        return len(self.octets) > LARGE_OCTETS

    @property
    def is_whole(self) -> bool:
        """Whether checks see all of the message: its octets are complete, and its header is within bounds."""
        return self._is_complete and len(self.header) <= MAX_HEADER_OCTETS and len(self.fields) <= MAX_FIELDS

    @cached_property
    def sender(self) -> Address | None:
        """The reverse-path's address; None for the null reverse-path and for one that is no address."""
        try:
            return parse_path(self.reverse_path or "")
        except InvalidAddress:
            return None

    @cached_property
    def _parts(self) -> tuple[bytes, bytes]:
        return split_message(self.octets)

    @property
    def header(self) -> bytes:
        """The header, the CRLF of its last field included."""
        return self._parts[0]

    @property
    def body(self) -> bytes:
        """All after the empty line."""
        return self._parts[1]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The header fields, top to bottom; of a header beyond all bounds the first ones."""
        return tuple(map(_field, islice(raw_fields(self.header[:MAX_HEADER_OCTETS]), MAX_FIELDS + 1)))

    def fields_of(self, name: bytes) -> list[Field]:
        """Give the fields of that name (in lower case), top to bottom."""
        return [field for field in self.fields if field.name == name]


def _field(raw: bytes) -> Field:
    name, colon, _ = raw.partition(b":")
    return Field(name.rstrip(b" \t").lower() if colon else b"", raw)
