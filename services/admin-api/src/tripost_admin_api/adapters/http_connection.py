"""One HTTP connection: how long it is waited for, whether it has a place, and when it loses it."""

import asyncio
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tripost_admin_api.access.places import Places
from tripost_admin_api.api.problems import Problem

log = structlog.get_logger()

REQUEST_WITHIN_SECONDS: Final = 10.0  # a whole header, from the connection or the header's first octet on
SAY_AGAIN_SECONDS: Final = 10.0


class Refusals:
    """Logs requests for which there was no place: one line for all within SAY_AGAIN_SECONDS."""

    def __init__(self) -> None:
        self._said_at = -SAY_AGAIN_SECONDS
        self._unsaid = 0

    def note(self, client: str, because: str, now: float) -> None:
        """Log one; `now` in seconds of the event loop's clock."""
        if now - self._said_at < SAY_AGAIN_SECONDS:
            self._unsaid += 1
            return
        unsaid = {"others_before": self._unsaid} if self._unsaid else {}
        log.warning("request refused: too many connections", client=client, because=because, **unsaid)
        self._said_at, self._unsaid = now, 0


class HttpConnection(H11Protocol):
    """A connection that uvicorn serves, for strangers under conditions.

    A client that says no whole request header in time is cut off, be it the first request or a later one; uvicorn
    itself limits only how long nothing at all comes between two requests. The answer to a request without credentials
    that we know, such as one for `/healthz`, ends the connection.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState, places: Places, refusals: Refusals) -> None:
        super().__init__(config, state, {})
        self._application = self.app
        self.app = self._serve
        self._places = places
        self._refusals = refusals
        self._refused = ""
        self._is_known = False
        self._due: asyncio.TimerHandle | None = None

    @property
    def gives_way(self) -> bool:
        """Whether another connection may have this one's place."""
        return not self._is_known and (self.cycle is None or self.cycle.response_complete)

    def end(self) -> None:
        """Cut it off: to close is to wait for the client once more."""
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Begin, with a place or without."""
        super().connection_made(transport)
        self._refused = self._places.take(self, self._address)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_request()  # what has come is the beginning of a header
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._expect_nothing()
        self._places.leave(self)
        super().connection_lost(exc)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or say why there is no place for it."""

        async def send_and_end(message: Message) -> None:
            # Who it is, the guard has written into the request's state.
            self._is_known = "actor" in scope["state"]
            if message["type"] == "http.response.start" and not self._is_known:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        if self._refused:
            self._refusals.note(self._address, self._refused, self.loop.time())
            problem = Problem("unavailable", self._refused, headers={"Retry-After": "2"})
            await problem.response()(scope, receive, send_and_end)
        else:
            await self._application(scope, receive, send_and_end)

    def _expect_request(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(REQUEST_WITHIN_SECONDS, self.end)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
