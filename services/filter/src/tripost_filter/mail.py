"""The mail that checks are given: the facts of one question, taken apart once and only as far as asked for."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.address import Address, InvalidAddress, parse_path
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope
from tripost_shared.mail.header import split_message

LARGE_OCTETS: Final = 256 * 1024  # above it, work on the octets (1 ms and more) is done chunk by chunk
MAX_HEADER_OCTETS: Final = 256 * 1024  # what is after them is not taken for header fields, so that a hostile header
MAX_FIELDS: Final = 1000  # costs no more than a few milliseconds
CHUNK_OCTETS: Final = 128 * 1024

_FIELD_END: Final = re.compile(rb"\r\n(?![ \t])")


class Field(NamedTuple):
    """A header field: its name in lower case ("" for a line without a colon), and its octets with folds and CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The raw value after the colon, final CRLF kept."""
        return self.raw.partition(b":")[2]


class StoredOctets(Protocol):
    """A message's octets that are elsewhere."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Give them from the start, as far as they are examined; each call reads anew."""
        ...


class Mail:
    """What is known of a client, an envelope and a message at some stage.

    `message_id` is the id by which logs and traces name it; before MAIL that of the session. `reverse_path` is None
    until MAIL, and "" for the null one. `recipient` is the one asked about at the recipient stage, else ""; `envelope`
    has all of them once the content is there, and is None before. `octets` is empty until the content is there; then it
    holds all of it, or, if it is `stored` elsewhere, the beginning with the header. `is_complete` tells whether checks
    can see all of it, in one way or the other. `findings` are those of earlier stages. `look_up_until` is the time of
    the monotonic clock at which every look-up of the stage must have ended, `examine_until` that at which the checks of
    all the question's stages must have. `client_good_until` is the time up to which what was found of the client may
    count: checks of that stage which asked the DNS lower it.
    """

    def __init__(
        self,
        client: Client,
        *,
        message_id: str = "",
        reverse_path: str | None = None,
        recipient: str = "",
        envelope: Envelope | None = None,
        octets: bytes = b"",
        stored: StoredOctets | None = None,
        is_complete: bool = True,
        findings: Sequence[Finding] = (),
        look_up_until: float = math.inf,
        examine_until: float = math.inf,
    ) -> None:
        self.client = client
        self.message_id = message_id
        self.reverse_path = reverse_path
        self.recipient = recipient
        self.envelope = envelope
        self.octets = octets
        self._stored = stored
        self._is_complete = is_complete
        self.findings = findings
        self.look_up_until = look_up_until
        self.examine_until = examine_until
        self.client_good_until = math.inf
        self._parts: tuple[bytes, bytes] | None = None
        self._fields: tuple[Field, ...] | None = None
        self._by_name: dict[bytes, list[Field]] = {}

    @property
    def helo(self) -> str:
        """The name in HELO or EHLO, as the client gave it; "" before."""
        return self.client.helo

    @property
    def sender(self) -> Address | None:
        """The reverse-path's address; None for the null reverse-path and for one that is no address."""
        try:
            return parse_path(self.reverse_path or "")
        except InvalidAddress:
            return None

    @property
    def is_large(self) -> bool:
        """Whether its octets are too many to go through at once: use `chunks` or `body_chunks`."""
        return self._stored is not None or len(self.octets) > LARGE_OCTETS

    @property
    def is_whole(self) -> bool:
        """Whether checks see all of the message: its octets are complete, and its header is within bounds."""
        return self._is_complete and len(self.header) <= MAX_HEADER_OCTETS and len(self.fields) <= MAX_FIELDS

    @property
    def header(self) -> bytes:
        """The header, the CRLF of its last field included."""
        return self._split()[0]

    @property
    def body(self) -> bytes:
        """All after the empty line, of a message that is not large."""
        return self._split()[1]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The header fields, top to bottom; of a header beyond all bounds the first ones."""
        if self._fields is None:
            self._fields = tuple(_fields(self.header[:MAX_HEADER_OCTETS]))
            for field in self._fields:
                self._by_name.setdefault(field.name, []).append(field)
        return self._fields

    def fields_of(self, name: bytes) -> Sequence[Field]:
        """Give the fields of that name (in lower case), top to bottom."""
        return self.fields_by_name.get(name, ())

    @property
    def fields_by_name(self) -> Mapping[bytes, Sequence[Field]]:
        """The fields by name (in lower case), those of one name top to bottom."""
        if self._fields is None:
            _ = self.fields
        return self._by_name

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give all octets, a large message chunk by chunk, each in a turn of the event loop.

        Every call goes through the message anew, and needs the memory of a few chunks. Raises ContentMissing and
        ContentUnavailable, and so may the check that iterates: without the content there is no verdict.
        """
        if self._stored is not None:
            async for chunk in self._stored.chunks():
                yield chunk
                await asyncio.sleep(0)
            return
        for start in range(0, len(self.octets), CHUNK_OCTETS):
            yield self.octets[start : start + CHUNK_OCTETS]
            await asyncio.sleep(0)

    async def body_chunks(self) -> AsyncIterator[bytes]:
        """Give all after the empty line, as `chunks` does."""
        to_skip = len(self.header) + 2
        async for chunk in self.chunks():
            if to_skip < len(chunk):
                yield chunk[to_skip:]
            to_skip = max(0, to_skip - len(chunk))

    def _split(self) -> tuple[bytes, bytes]:
        if self._parts is None:
            self._parts = split_message(self.octets)
        return self._parts


def _fields(header: bytes) -> list[Field]:
    """Take a header apart, MAX_FIELDS + 1 fields at most; the last one may lack its CRLF."""
    lines = _FIELD_END.split(header, MAX_FIELDS + 1)
    rest = lines.pop()
    fields: list[Field] = []
    for line in lines:
        name, colon, _ = line.partition(b":")
        fields.append(Field(name.rstrip(b" \t").lower() if colon else b"", line + b"\r\n"))
    if rest and len(fields) <= MAX_FIELDS:
        name, colon, _ = rest.partition(b":")
        fields.append(Field(name.rstrip(b" \t").lower() if colon else b"", rest))
    return fields
