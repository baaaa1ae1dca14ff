"""nats-py's client with its hot methods replaced, and without the ways in which it may stay stuck.

nats-py hands each message through a queue to a task of its subscription, and each answer from there to a future: half
of a question's cost. Here a message goes straight from the parser to the one who takes it. What else differs:

- It reconnects for ever, by a back-off with jitter, also after an error that nats-py takes as final.
- A lost connection is aborted, not closed: closing waits for what can never be sent to a peer that is cut off.
- What was not sent when the connection was lost is dropped, and its askers are told; nothing is sent late.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog
from nats import errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.protocol import command
from nats.protocol.parser import PERMISSIONS_ERR

log = structlog.get_logger()

READ_OCTETS: Final = 1 << 16
PING_SECONDS: Final = 5
MOST_UNANSWERED_PINGS: Final = 2
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0


class Incoming(NamedTuple):
    """A message as it came; `header` is the whole header block with its version line, or None."""

    subject: bytes
    reply: bytes
    data: bytes
    header: bytes | None

    @property
    def status(self) -> int:
        """The server's status (503: nobody serves the subject; 404, 408, 409: a pull has ended), or 0."""
        if self.header is None or self.header[8:9] != b" ":
            return 0
        digits = self.header[9:12]
        return int(digits) if digits.isdigit() else 0


Taker = Callable[[Incoming], None]


class LinkClient(Client):
    """One connection to a NATS server. `lost` and `regained` are called when it breaks and is back."""

    def __init__(self, lost: Callable[[], None], regained: Callable[[], None]) -> None:
        super().__init__()
        self._lost = lost
        self._regained = regained
        self._takers: dict[int, Taker] = {}
        self._failures = 0
        self._flush_is_due = False

    async def open(self, servers: list[str], name: str, user: str, password: str) -> None:
        """Connect, trying for ever."""
        await self.connect(
            servers,
            name=name,
            user=user or None,
            password=password or None,
            max_reconnect_attempts=-1,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=MOST_UNANSWERED_PINGS,
            error_cb=_log_error,
            reconnected_cb=self._after_reconnect,
            inbox_prefix=f"_INBOX.{name}",
        )
        self._failures = 0

    def send(self, subject: str, reply: str, payload: bytes, header: bytes) -> None:
        """Queue a message; it leaves with all others of this turn of the event loop."""
        if header:
            self._pending.append(command.hpub_cmd(subject, reply, header, payload))
        else:
            self._pending.append(command.pub_cmd(subject, reply, payload))
        self._pending_data_size += len(header) + len(payload)
        self._flush_soon()

    def take(self, subject: str, queue: str, taker: Taker) -> int:
        """Subscribe; gives the number by which to `leave`. Taken up again after each reconnect."""
        self._sid += 1
        self._subs[self._sid] = Subscription(self, self._sid, subject, queue=queue)
        self._takers[self._sid] = taker
        if self.is_connected:
            self._pending.append(command.sub_cmd(subject, queue, self._sid))
            self._flush_soon()
        return self._sid

    def leave(self, number: int, *, keep_taking: bool = False) -> None:
        """Unsubscribe; `keep_taking`: go on taking what the server had sent already."""
        self._subs.pop(number, None)
        if not keep_taking:
            self._takers.pop(number, None)
        if self.is_connected:
            self._pending.append(command.unsub_cmd(number, 0))
            self._flush_soon()

    async def flush(self, timeout: int = 10) -> None:
        """Return once the server has seen all that was sent."""
        self._flush_now()  # nats-py writes its PING past what waits
        await super().flush(timeout)

    @property
    def unsent_octets(self) -> int:
        """How much waits for the network."""
        writer = getattr(self._transport, "_io_writer", None)
        return self._pending_data_size + (writer.transport.get_write_buffer_size() if writer is not None else 0)

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        if self._pending and self._transport and self.is_connected:
            waiting, self._pending = self._pending, []
            self._pending_data_size = 0
            self._transport.writelines(waiting)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        taker = self._takers.get(sid)
        if taker is None:
            return
        try:
            taker(Incoming(subject, reply, data, headers))
        except Exception:  # an entrance: one bad message must not stop the reading
            log.exception("message could not be taken", subject=subject.decode("utf-8", "replace"))

    async def _read_loop(self) -> None:
        try:
            while self._transport is not None and not (self.is_closed or self.is_reconnecting):
                octets = await self._transport.read(READ_OCTETS)
                if not octets:
                    raise errors.UnexpectedEOF
                await self._ps.parse(octets)
        except Exception as error:  # whatever it was, this connection is of no more use
            await self._process_op_err(error)

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs:
            waiting = self._pongs.pop(0)
            if not waiting.done():
                waiting.set_result(True)

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS_ERR in err_msg:
            log.error("NATS does not permit it", because=err_msg)
            return
        log.warning("NATS ends the connection", because=err_msg)
        await self._process_op_err(errors.Error(err_msg))

    async def _attempt_reconnect(self) -> None:
        self._drop_connection()
        self._lost()
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception:  # it is the only task that brings the connection back
                log.exception("reconnecting to NATS failed")
                self._failures += 1
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
            else:
                return

    def _drop_connection(self) -> None:
        self._pending = []
        self._pending_data_size = 0
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _after_reconnect(self) -> None:
        self._failures = 0
        self._regained()

    async def _select_next_server(self) -> None:
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        while True:
            server = self._server_pool.pop(0)
            self._server_pool.append(server)
            await asyncio.sleep(self._pause_seconds())
            try:
                await self._connect_to_server(server)
            except (OSError, TimeoutError, errors.Error) as error:
                self._failures += 1
                if self._failures.bit_count() == 1 or self._failures % 32 == 0:  # fewer and fewer lines
                    place = f"{server.uri.hostname}:{server.uri.port}"  # never the URL: it may hold a password
                    log.warning("NATS cannot be reached", server=place, tries=self._failures, because=str(error))
                continue
            self._failures += 1  # until the server has accepted us
            self._current_server = server
            return

    def _pause_seconds(self) -> float:
        if not self._failures:
            return 0.0
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * (1 << min(self._failures, 10)))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, no secret)


async def _log_error(error: Exception) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        log.warning("NATS connection", because=_text(error))


def _text(error: Any) -> str:
    return str(error) or type(error).__name__
