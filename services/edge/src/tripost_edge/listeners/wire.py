"""The wire below an SMTP session: octets in and out, time, the end of the connection.

A subclass of aiosmtpd's session protocol. What is different here, and why (measured in docs/decisions/0002):
the reader is an inbox of our own, in which CRLF alone ends a line; replies are gathered and written once per burst
(RFC 2920 §3.2); one lazy timer watches reads, the rate of content and the session; and `SMTP.__init__`, which looks
all hooks and commands up by reflection for each session, is left out.
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from tripost_edge.firewall.offences import Offence
from tripost_edge.limits.pace import Overdue, Pace, Patience
from tripost_edge.session import replies
from tripost_edge.session.inbox import EndlessLine, Inbox
from tripost_shared.mail.reply import SmtpReply

PAUSE_ABOVE_OCTETS: Final = 64 * 1024  # unread octets of one client; its TCP window closes then
WRITE_ABOVE_OCTETS: Final = 16 * 1024  # gathered replies; a client that pipelines without end gets them in parts
LINES_IN_A_ROW: Final = 20  # of one client, before the others have their turn
LINGER_SECONDS: Final = 5.0  # for a client to take the last reply

_OVERDUE: Final[Mapping[Overdue, SmtpReply]] = MappingProxyType(
    {
        Overdue.COMMAND: replies.TIMED_OUT,
        Overdue.CONTENT: replies.TIMED_OUT,
        Overdue.RATE: replies.TOO_SLOW,
        Overdue.SESSION: replies.SESSION_TOO_LONG,
    }
)


class SessionOver(Exception):
    """The session ends here: with a last reply, or without one; for an offence of the client, maybe.

    `is_told`: the journal has told of it already.
    """

    def __init__(
        self, reply: SmtpReply | None, *, because: str, offence: Offence | None = None, is_told: bool = False
    ) -> None:
        super().__init__(because)
        self.is_told = is_told
        self.offence = offence
        self.reply = reply
        self.because = because


class Wire(SMTP):
    """One connection. Subclasses say what is done with it in `_handle_client`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Patience) -> None:
        # Not SMTP.__init__: see the head of this module. Its attributes are not used here.
        self.loop = loop
        self._pace = Pace(patience, loop.time())
        self._inbox = Inbox()
        self._arrivals = 0  # of octets for it
        self._outbox: list[bytes] = []
        self._outbox_octets = 0
        self._lines_in_a_row = 0  # taken without a wait between them
        self._connection: asyncio.Transport | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._pause: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over: SessionOver | None = None
        self._is_reading_paused = False
        self._is_eof = False
        self._is_lost = False
        self._is_closing = False
        self.tarpit_seconds = 0.0  # by which all that is said is held back
        self._task: asyncio.Task[None] | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the session runs as a task of its own."""
        self._connection = cast("asyncio.Transport", transport)
        self._timer = self.loop.call_at(self._pace.next_check(self.loop.time()), self._watch)
        self._task = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        """Keep what has come, and stop reading when it is much."""
        if self._is_closing:
            return
        self._inbox.append(data)
        self._arrivals += 1
        if not self._is_reading_paused and len(self._inbox) > PAUSE_ABOVE_OCTETS and self._connection is not None:
            self._connection.pause_reading()
            self._is_reading_paused = True
        self._wake()

    def eof_received(self) -> bool:
        """Note that the client sends no more. On plain connections it may still read what we say."""
        self._is_eof = True
        self._wake()
        if self._is_closing:
            return False
        return self._connection is not None and self._connection.get_extra_info("ssl_object") is None

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is gone, by whomever."""
        self._is_lost = self._is_eof = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end(SessionOver(None, because="connection lost"))

    def pause_writing(self) -> None:
        """Let `flush` wait: the client does not read."""
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Let `flush` go on: the client reads again."""
        writable, self._writable = self._writable, None
        if writable is not None:
            _settle(writable)

    # What the session calls

    def say(self, reply: SmtpReply) -> None:
        """Have a reply written with the others of this burst."""
        octets = _encoded(reply)
        self._outbox.append(octets)
        self._outbox_octets += len(octets)

    async def flush(self) -> None:
        """Write the gathered replies, from a tarpit later; waits while the client takes none. Raises SessionOver."""
        if self.tarpit_seconds and self._outbox:
            self._pace.postpone(self.tarpit_seconds)
            await self.pause(self.tarpit_seconds)
        self._write_outbox()
        if self._writable is not None:
            await self._writable
        if self._over is not None:
            raise self._over

    async def more(self) -> None:
        """Write what is due, then wait until something has arrived. Raises SessionOver."""
        had = self._arrivals
        await self.flush()
        if self._arrivals > had:
            return
        if self._is_eof:
            raise SessionOver(None, because="client closed the connection")
        if self._is_reading_paused and self._connection is not None:
            self._connection.resume_reading()
            self._is_reading_paused = False
        self._arrival = self.loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None
        if self._over is not None:
            raise self._over

    def grant(self, patience: Patience) -> None:
        """Be as patient as that from now on."""
        self._pace.grant(patience)
        if self._timer is not None and not self._is_closing:
            self._timer.cancel()
            self._timer = self.loop.call_at(self._pace.next_check(self.loop.time()), self._watch)

    async def pause(self, seconds: float) -> None:
        """Do nothing for a while, with the replies that are due not written. Raises SessionOver, early if need be."""
        self._pause = pause = self.loop.create_future()
        timer = self.loop.call_later(seconds, _settle, pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pause = None
        if self._over is not None:
            raise self._over

    async def read_line(self) -> bytes:
        """Give the next line without its CRLF, waiting for it. Raises SessionOver, LineTooLong."""
        if self._lines_in_a_row >= LINES_IN_A_ROW:
            self._lines_in_a_row = 0
            await asyncio.sleep(0)
        line = self._next_line()
        if line is None:
            self._pace.wait_for_command(self.loop.time())
            while line is None:
                await self.more()
                line = self._next_line()
            self._pace.stop_waiting()
            self._lines_in_a_row = 0
            return line
        self._lines_in_a_row += 1
        if self._outbox_octets > WRITE_ABOVE_OCTETS:
            self._pace.wait_for_command(self.loop.time())
            await self.flush()
            self._pace.stop_waiting()
        return line

    def _next_line(self) -> bytes | None:
        try:
            return self._inbox.take_line()
        except EndlessLine as error:
            raise SessionOver(replies.ENDLESS_LINE, because="line without end") from error

    def count_lines(self, lines: int) -> None:
        """Note that so many were taken otherwise than by `read_line`."""
        self._lines_in_a_row += lines

    def close(self, *, with_last_words: bool = False) -> None:
        """Write what is due and close; a client that does not take it is cut off after a while.

        With last words, the client is heard (and ignored) until it closes: octets of it that nobody read would make
        the system reset the connection, and the reply would be lost.
        """
        if self._is_closing or self._connection is None:
            return
        self._is_closing = True
        if self._is_lost:
            return
        self._write_outbox()
        if with_last_words and not self._is_eof and self._connection.can_write_eof():
            self._connection.write_eof()
            if self._is_reading_paused:
                self._connection.resume_reading()
        else:
            self._connection.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER_SECONDS, self._cut_off)

    def abort(self) -> None:
        """Cut the connection off."""
        self._cut_off()

    def _cut_off(self) -> None:
        """Close without a word. The event loop does not tell of every end: of none within a handshake (STARTTLS)."""
        if self._connection is not None:
            self._connection.abort()
            self.connection_lost(None)

    def _end(self, over: SessionOver) -> None:
        """Let the session end at its next wait, or at the one that it is in."""
        if self._over is None:
            self._over = over
        self._wake()
        self.resume_writing()
        if self._pause is not None:
            _settle(self._pause)

    def _wake(self) -> None:
        if self._arrival is not None:
            _settle(self._arrival)

    def _write_outbox(self) -> None:
        if self._outbox and self._connection is not None and not self._is_lost:
            self._connection.write(self._outbox[0] if len(self._outbox) == 1 else b"".join(self._outbox))
        self._outbox.clear()
        self._outbox_octets = 0

    def _watch(self) -> None:
        """Look whether the client's time is up; set the timer anew."""
        now = self.loop.time()
        overdue = self._pace.overdue(now)
        if overdue is not None:
            self._end(SessionOver(_OVERDUE[overdue], because=overdue.value))
        # Never in the past: a session that is over needs a moment to notice.
        self._timer = self.loop.call_at(max(self._pace.next_check(now), now + 0.05), self._watch)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@lru_cache(maxsize=256)
def _encoded(reply: SmtpReply) -> bytes:
    """Give a reply's octets; most are the same few again and again."""
    return reply.encoded()
