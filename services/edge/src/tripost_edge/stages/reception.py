"""The content of one message while it arrives: bounded memory, the header looked at, the rest kept or sent on."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from tripost_edge.ports import ContentStore, ContentUnavailable, ContentWriter
from tripost_edge.session import replies
from tripost_edge.session.content_decoder import ContentDecoder, Fault
from tripost_edge.session.header_inspection import Inspection, count_fields
from tripost_edge.session.loop import hosts_in_loop
from tripost_shared.mail.content import Content
from tripost_shared.mail.failures import MailFailure, PermanentFailure, TransientFailure

MAX_FIELDS: Final = 1000  # honest headers have less than a hundred; each costs time here and in the filter
_FAULTS: Final = {Fault.BARE_LINE_END: replies.BARE_LINE_END, Fault.NUL: replies.NUL_OCTET}


class ContentLimits(NamedTuple):
    """What a message may have. Beyond `inline_octets` the content goes to the content store while it arrives."""

    size_octets: int = 64 * 1024 * 1024
    inline_octets: int = 128 * 1024
    header_octets: int = 256 * 1024
    received_fields: int = 50
    own_received_fields: int = 10


class Decoder(Protocol):
    """What finds the content in the octets on the wire: after DATA, or in chunks."""

    fault: Fault | None
    is_complete: bool  # of DATA the content, of BDAT the chunk at hand
    rest: bytes  # what came after the end

    def feed(self, octets: bytes) -> bytes:
        """Take the next octets; gives what of the content is certain by now (b"" after a fault)."""
        ...


class Reception:
    """Takes what comes after 354 up to the end of the content, or one chunk after the other.

    Whatever is wrong, everything up to CRLF.CRLF is read first, so that client and server agree where commands go on.
    Lines over 998 octets (RFC 5321 §4.5.3.1.6) pass unchanged: to cut them would break signatures, to refuse them
    would lose honest mail, and nothing here holds a line in memory. `inspect` looks at the header, and says what of it
    goes on.
    """

    def __init__(
        self,
        message_id: str,
        store: ContentStore,
        limits: ContentLimits,
        inspect: Callable[[bytes], Inspection],
        decoder: Decoder | None = None,
    ) -> None:
        self.size_octets = 0  # received so far, dot-stuffing undone
        self.subject = ""
        self.from_fields: tuple[bytes, ...] = ()  # of the header, raw
        self.was_stored = False
        self.is_eight_bit = False  # whether octets above 127 go on, as far as they have gone
        self._message_id = message_id
        self._store = store
        self._limits = limits
        self._inspect = inspect
        self._decoder = decoder or ContentDecoder()
        self._arrived_octets = 0  # as they were on the wire
        self._held = bytearray()
        self._kept_octets = 0  # size of what goes on, forged fields left out
        self._header_is_done = False
        self._searched_octets = 0
        self._writer: ContentWriter | None = None
        self._failure: MailFailure | None = None
        self.has_fault = False  # octets by which other readers may see an end where none is, or none where one is

    async def take(self, octets: bytes) -> bool:
        """Take the next octets; tells whether content or chunk is complete. Waits while the store is busy."""
        self._arrived_octets += len(octets)
        piece = self._decoder.feed(octets)
        fault = self._decoder.fault
        if fault is not None and not self.has_fault:
            self.has_fault = True  # it counts more than whatever was wrong before
            await self._fail(PermanentFailure(_FAULTS[fault], because=fault.value))
        if piece:
            self.size_octets += len(piece)
            if self._failure is None:
                await self._keep(piece)
        return self._decoder.is_complete

    @property
    def rest(self) -> bytes:
        """What came after the end of the content."""
        return self._decoder.rest

    @property
    def has_failed(self) -> bool:
        """Whether nothing will come of the message, whatever else arrives."""
        return self._failure is not None

    @property
    def is_hopeless(self) -> bool:
        """Whether so much has come beyond the limit that the client is to be cut off."""
        return self._arrived_octets > 2 * self._limits.size_octets

    async def finish(self) -> Content:
        """Give the whole content, durable if stored. Raises MailFailure."""
        if self._failure is None and not self._header_is_done:
            self._failure = self._finish_header(len(self._held))
        if self._failure is not None:
            raise self._failure
        last = self._let_go()
        if self._writer is None:
            return Content(size_octets=self._kept_octets, inline=last)
        try:
            await self._writer.write(last)
            content = await self._writer.commit()
        except ContentUnavailable as error:
            raise TransientFailure(because=f"content store: {error}") from error
        self.was_stored = True
        return content

    async def abandon(self) -> None:
        """Forget what has come."""
        writer, self._writer = self._writer, None
        self._held = bytearray()
        if writer is not None and not self.was_stored:
            await writer.abort()

    async def _keep(self, piece: bytes) -> None:
        if self.size_octets > self._limits.size_octets:
            await self._fail(PermanentFailure(replies.TOO_BIG, because="message larger than the limit"))
            return
        self._held += piece
        if self._header_is_done:
            self._kept_octets += len(piece)
        elif (failure := self._look_for_header_end()) is not None:
            await self._fail(failure)
        if len(self._held) > self._limits.inline_octets and self._header_is_done:
            await self._send_on()

    def _look_for_header_end(self) -> PermanentFailure | None:
        if self._held.startswith(b"\r\n"):
            return self._finish_header(0)
        end = self._held.find(b"\r\n\r\n", max(0, self._searched_octets - 3))
        if end >= 0:
            return self._finish_header(end + 2)
        self._searched_octets = len(self._held)
        if self._searched_octets > self._limits.header_octets:
            return PermanentFailure(replies.HEADER_TOO_BIG, because="header larger than the limit")
        return None

    def _finish_header(self, header_octets: int) -> PermanentFailure | None:
        """Look at the header, which is complete; gives what is wrong with it."""
        self._header_is_done = True
        if header_octets > self._limits.header_octets:
            return PermanentFailure(replies.HEADER_TOO_BIG, because="header larger than the limit")
        header = bytes(self._held[:header_octets])
        if (fields := count_fields(header)) > MAX_FIELDS:
            return PermanentFailure(replies.TOO_MANY_FIELDS, because=f"{fields} header fields")
        inspection = self._inspect(header)
        self.subject = inspection.subject
        self.from_fields = inspection.from_fields
        was_here = inspection.times_here > self._limits.own_received_fields
        if was_here or inspection.received_fields > self._limits.received_fields:
            because = f"{inspection.received_fields} Received fields"
            if hosts := hosts_in_loop(header):
                because += f", taken several times by {hosts}"
            return PermanentFailure(replies.WAS_HERE if was_here else replies.LOOP, because=because)
        if inspection.removed:
            self._held[:header_octets] = inspection.header
        self._kept_octets = len(self._held)
        return None

    async def _send_on(self) -> None:
        try:
            if self._writer is None:
                self._writer = self._store.writer(self._message_id)
            await self._writer.write(self._let_go())
        except ContentUnavailable as error:
            await self._fail(TransientFailure(because=f"content store: {error}"))

    def _let_go(self) -> bytes:
        """Give what is held, and hold it no more; what a client declared (RFC 6152) is not to be relied upon."""
        octets = bytes(self._held)
        self._held.clear()
        self.is_eight_bit = self.is_eight_bit or not octets.isascii()  # 0.3 µs for 4 KB
        return octets

    async def _fail(self, failure: MailFailure) -> None:
        self._failure = failure
        await self.abandon()
