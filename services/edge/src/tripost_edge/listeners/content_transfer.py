"""The content of messages on the wire: after DATA up to its end mark, or in chunks (RFC 5321 §4.1.1.4, RFC 3030 §2).

Whatever becomes of a message, all its octets are read, so that none is ever taken for a command.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from tripost_edge.listeners.context import Context, ProfileInForce
from tripost_edge.listeners.proxy_protocol import Announcement
from tripost_edge.listeners.registry import Dismissable
from tripost_edge.listeners.session_life import SessionLife
from tripost_edge.listeners.wire import SessionOver
from tripost_edge.session import replies
from tripost_edge.session.chunk_reader import Chunk, ChunkReader, parse_chunk
from tripost_edge.session.phase import NEXT_PHASE, Event, Phase, refusal
from tripost_edge.stages.reception import Reception
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.reply import SmtpReply

MOST_SMALL_CHUNKS: Final = 1000  # of one message: each costs as much as a command


@dataclass(slots=True)
class _Chunks:
    """The chunks of one message so far: where they go, or by which words the message was refused."""

    reader: ChunkReader = field(default_factory=ChunkReader)
    reception: Reception | None = None
    refused: SmtpReply | None = None
    octets: int = 0
    small: int = 0


class ContentTransfer(SessionLife):
    """A session that takes content. Subclasses say the replies."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        listener: ProfileInForce,
        *,
        instead_of: Dismissable | None = None,
        announced: Announcement | None = None,
    ) -> None:
        super().__init__(loop, context, listener, instead_of=instead_of, announced=announced)
        self._stages = context.stages
        self._chunks: _Chunks | None = None

    async def take_content(self) -> SmtpReply:
        """Read what follows 354 up to its end mark, and answer for it.

        Raises SessionOver: also after the answer to content with bare line ends. To whoever let that pass, what comes
        next may be content too.
        """
        reception = self._stages.data.receive(self._state)
        try:
            await self._read_to_end_mark(reception)
        except BaseException:  # a cancellation too must leave no content behind
            await reception.abandon()
            raise
        reply = await self._conclude(reception)
        if reception.has_fault:
            raise SessionOver(reply, because="what follows such content may be no commands")
        return reply

    async def take_chunk(self, argument: str) -> SmtpReply:
        """Read the chunk that BDAT announces, and answer for it; after the last one for the message.

        Raises SessionOver: also where the size cannot be read, or is beyond hope, since what follows is no command.
        """
        try:
            chunk = parse_chunk(argument)
        except PermanentFailure as failure:
            raise SessionOver(failure.reply, because=failure.because) from failure
        misplaced = refusal(self._state.phase, Event.BDAT)
        if misplaced is None and not self._state.client.esmtp:
            misplaced = replies.HELLO_FIRST
        if misplaced is not None:
            self._see_hope(chunk.size_octets)
            await self._read_chunk(ChunkReader(), chunk, None)
            self._pace.end_content()
            return misplaced
        if self._chunks is None:
            self._chunks = _Chunks()
        return await self._take_next(self._chunks, chunk)

    async def forget_chunks(self) -> None:
        """Drop what has come of a message whose last chunk never will."""
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            self._pace.end_content()
            if chunks.reception is not None:
                await chunks.reception.abandon()

    async def _run(self) -> None:
        try:
            await super()._run()
        finally:
            await self.forget_chunks()

    async def _take_next(self, chunks: _Chunks, chunk: Chunk) -> SmtpReply:
        chunks.octets += chunk.size_octets
        chunks.small += chunk.is_small
        self._see_hope(chunks.octets)
        if chunks.small > MOST_SMALL_CHUNKS:
            raise SessionOver(replies.TOO_MANY_SMALL_CHUNKS, because="too many small chunks")
        is_first = self._state.phase is Phase.RCPT_GIVEN
        self._move(Event.BDAT)
        if is_first:
            await self._begin(chunks)
        await self._read_chunk(chunks.reader, chunk, chunks.reception)
        reception = chunks.reception
        if reception is not None and (chunk.is_last or reception.has_failed):
            chunks.reception = None
            reply = await self._conclude(reception, is_over=chunk.is_last)
            chunks.refused = reply
        else:
            reply = chunks.refused or replies.chunk_taken(chunk.size_octets)
            self._move(_event_after(chunk, is_refused=chunks.refused is not None))
        if chunk.is_last:
            await self.forget_chunks()
        return reply

    async def _begin(self, chunks: _Chunks) -> None:
        """Open the content of a message, unless its client may not send it any more."""
        reply = await self._stages.data.begin(self._state)
        if reply.is_positive:
            chunks.reception = self._stages.data.receive(self._state, chunks.reader)
        elif reply.code == 421:
            raise SessionOver(reply, because=reply.text)
        else:
            chunks.refused = reply
            self._context.journal.abandoned(self._state, reply.text)

    async def _conclude(self, reception: Reception, *, is_over: bool = True) -> SmtpReply:
        """Answer for a message, all of which has come, or which has failed already. Raises SessionOver."""
        self._move(Event.CONTENT if is_over else Event.CHUNK_REFUSED)
        recipients = len(self._state.transaction.recipients) if self._state.transaction is not None else 0
        reply = await self._stages.data.conclude(self._state, reception, is_client_there=lambda: not self._is_lost)
        if reply.is_positive:
            self._state.tally.message_accepted(recipients)
        elif reply.code == 421:
            raise SessionOver(reply, because=reply.text)
        return reply

    async def _read_to_end_mark(self, reception: Reception) -> None:
        """Feed the reception until the content is complete; the client waits while the store is busy."""
        while True:
            octets = self._inbox.take_all()
            if octets:
                self._pace.received(len(octets), self.loop.time())
                if await reception.take(octets):
                    break
                if reception.is_hopeless:
                    raise SessionOver(replies.TOO_BIG, because="content far beyond the limit")
            else:
                self._pace.wait_for_content(self.loop.time())
                await self.more()
        self._pace.end_content()
        self._inbox.put_back(reception.rest)

    async def _read_chunk(self, reader: ChunkReader, chunk: Chunk, reception: Reception | None) -> None:
        """Feed the reception until the chunk is complete; without one the octets are dropped."""
        reader.begin(chunk)
        now = self.loop.time()
        self._pace.received(0, now)  # the time since the chunk before was the client's
        self._pace.wait_for_content(now)
        while not reader.is_complete:
            octets = self._inbox.take(reader.left_octets)
            if not octets and reader.left_octets:
                self._pace.wait_for_content(self.loop.time())
                await self.more()
                continue
            self._pace.received(len(octets), self.loop.time())
            if reception is None:
                reader.feed(octets)
            else:
                await reception.take(octets)

    def _see_hope(self, octets: int) -> None:
        if octets > self._stages.data.most_octets(self._state):
            raise SessionOver(replies.TOO_BIG, because="content far beyond the limit")

    def _move(self, event: Event) -> None:
        self._state.phase = NEXT_PHASE[self._state.phase, event]


def _event_after(chunk: Chunk, *, is_refused: bool) -> Event:
    if chunk.is_last:
        return Event.CONTENT
    return Event.CHUNK_REFUSED if is_refused else Event.CHUNK
