"""The link to NATS that all adapters of one process share.

Answers come to one inbox, `_INBOX.<service>.<random>.*`, and are told apart by the last token. Nothing waits for a
connection that is down: what cannot be sent raises LinkDown, and what had been sent is told so by `None`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

import structlog
from nats import errors

from tripost_shared.bus.nats_client import Incoming, LinkClient, Taker
from tripost_shared.settings import CommonSettings, SettingsError

log = structlog.get_logger()

MOST_UNSENT_OCTETS: Final = 64 << 20
NO_RESPONDERS: Final = 503


class LinkDown(Exception):
    """The message could not be sent, or the connection was lost before its answer came."""


class NobodyServes(LinkDown):
    """No one is subscribed to the subject (for JetStream: no such stream, or it has no leader now)."""


class TooLarge(Exception):
    """The message is over the server's `max_payload`."""


class NatsLink:
    """A connection that comes back by itself."""

    def __init__(self) -> None:
        self._client = LinkClient(self._lost, self._regained)
        self._answers: dict[bytes, Callable[[Incoming | None], None]] = {}
        self._tokens = count()
        self._inbox = ""
        self._prefix_length = 0
        self._up = asyncio.Event()
        self._after_regaining: list[Callable[[], None]] = []

    @classmethod
    async def connect(cls, settings: CommonSettings, name: str) -> "NatsLink":
        """Connect as `name` (the service's); tries for ever, with a back-off that is logged. Raises SettingsError."""
        link = cls()
        try:
            await link._client.open(
                [url.strip() for url in settings.nats_url.split(",") if url.strip()],
                name,
                settings.nats_user,
                settings.nats_password(),
            )
        except errors.Error as error:  # only a URL that makes no sense gets here
            raise SettingsError("TRIPOST_NATS_URL: not a list of nats://host:port") from error
        link._inbox = link._client.new_inbox()
        link._prefix_length = len(link._inbox) + 1
        link._client.take(f"{link._inbox}.*", "", link._take_answer)
        if link.is_connected:
            link._up.set()
        return link

    @property
    def is_connected(self) -> bool:
        """Whether messages can go out now."""
        return self._client.is_connected

    @property
    def max_payload_octets(self) -> int:
        """The largest message that the server takes, header included."""
        return self._client.max_payload

    def after_regaining(self, call: Callable[[], None]) -> None:
        """Be told each time when the connection is back."""
        self._after_regaining.append(call)

    async def wait_connected(self, within_seconds: float) -> bool:
        """Wait until messages can go out; tells whether they can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._up.wait()
        return self.is_connected

    def publish(self, subject: str, payload: bytes, header: bytes = b"", reply: str = "") -> None:
        """Send a message. Raises LinkDown, also when too much waits for the network already, or TooLarge."""
        if not self.is_connected:
            raise LinkDown("not connected to NATS")
        if len(payload) + len(header) > self.max_payload_octets:
            raise TooLarge(f"{len(payload) + len(header)} octets; NATS takes {self.max_payload_octets}")
        if self._client.unsent_octets > MOST_UNSENT_OCTETS:
            raise LinkDown("NATS does not keep up")
        self._client.send(subject, reply, payload, header)

    def begin(self, subject: str, payload: bytes, header: bytes, answered: Callable[[Incoming | None], None]) -> bytes:
        """Send a message and be called with each answer to it, or with None when the connection is lost.

        Gives the token to `forget` it by, which must be done in the end. Raises as `publish` does.
        """
        token = b"%x" % next(self._tokens)
        self.publish(subject, payload, header, f"{self._inbox}.{token.decode()}")
        self._answers[token] = answered
        return token

    def forget(self, token: bytes) -> None:
        """Take no more answers."""
        self._answers.pop(token, None)

    async def request(self, subject: str, payload: bytes, within_seconds: float, header: bytes = b"") -> Incoming:
        """Send a message and give its answer; raises LinkDown, NobodyServes, TooLarge or TimeoutError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Incoming] = loop.create_future()

        def answered(message: Incoming | None) -> None:
            if future.done():
                return
            if message is None:
                future.set_exception(LinkDown("the connection to NATS was lost"))
            elif message.status == NO_RESPONDERS:
                future.set_exception(NobodyServes(f"nobody serves {subject}"))
            else:
                future.set_result(message)

        def expired() -> None:
            if not future.done():
                future.set_exception(TimeoutError(f"{subject}: no answer within {within_seconds} s"))

        token = self.begin(subject, payload, header, answered)
        timer = loop.call_later(within_seconds, expired)
        try:
            return await future
        finally:
            timer.cancel()
            self.forget(token)

    def subscribe(self, subject: str, taker: Taker, queue: str = "") -> int:
        """Have each message handed to `taker`, which must not wait; gives the number to `unsubscribe`."""
        return self._client.take(subject, queue, taker)

    def unsubscribe(self, number: int, *, keep_taking: bool = False) -> None:
        """End a subscription; `keep_taking`: what the server has sent already is still taken."""
        self._client.leave(number, keep_taking=keep_taking)

    def new_inbox(self) -> str:
        """Make a subject of our own to be answered on."""
        return self._client.new_inbox()

    async def flush(self, within_seconds: float = 5.0) -> None:
        """Return once the server has seen all that was sent; raises LinkDown."""
        if not self.is_connected:
            raise LinkDown("not connected to NATS")
        try:
            async with asyncio.timeout(within_seconds):
                await self._client.flush(timeout=60)
        except (TimeoutError, errors.Error) as error:
            raise LinkDown("NATS did not answer a ping") from error

    async def drain(self) -> None:
        """Send what waits, then close."""
        with contextlib.suppress(LinkDown):
            await self.flush()
        await self.close()

    async def close(self) -> None:
        """Close for good; may be called twice."""
        self._up.clear()
        self._lost()
        if not self._client.is_closed:
            await self._client.close()

    def _take_answer(self, message: Incoming) -> None:
        answered = self._answers.get(message.subject[self._prefix_length :])
        if answered is not None:
            answered(message)

    def _lost(self) -> None:
        if self._up.is_set():
            self._up.clear()
            log.warning("connection to NATS lost")
        for answered in list(self._answers.values()):
            _call(partial(answered, None))

    def _regained(self) -> None:
        self._up.set()
        log.info("connection to NATS is back")
        for call in self._after_regaining:
            _call(call)


def _call(call: Callable[[], None]) -> None:
    """Tell one of those who listen; whatever breaks there keeps neither the others nor the connection from working."""
    try:
        call()
    except Exception:
        log.exception("change of the connection was not taken by one who listens")
