"""What holds for every request and response: a body's largest size, security fields, and no stack trace, ever."""

import asyncio
import secrets
from datetime import timedelta
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tripost_admin_api.api.problems import Problem
from tripost_shared.database.transactions import DatabaseUnavailable

log = structlog.get_logger()

LARGEST_BODY_OCTETS: Final = 256 * 1024
BODY_WITHIN: Final = timedelta(seconds=20)

SECURITY_FIELDS: Final = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecurityFields:
    """Adds the fields that tell browsers to be careful; what a response sets itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_FIELDS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_fields)


class Failures:
    """The last net: what breaks outside of the routes gets an answer too, and nothing reaches the server's own log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = finished = False

        async def watched_send(message: Message) -> None:
            nonlocal begun, finished
            begun = begun or message["type"] == "http.response.start"
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:
            if finished:  # Starlette raises again what it has answered
                return
            if begun or scope["type"] != "http":
                raise
            await problem_of(error, scope["method"], scope["path"]).response()(scope, receive, send)


class BodyLimit:
    """Takes the body in before the route is called; refuses one that is too large or too slow."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_WITHIN.total_seconds()):
                body = await _whole_body(scope, receive)
        except TimeoutError:
            raise Problem("request-timeout", "The request's body did not arrive in time.") from None
        if body is None:
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """Read the body; None when the client went away. Raises Problem."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > LARGEST_BODY_OCTETS:
            raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY_OCTETS:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> Problem:
    return Problem(
        "content-too-large", f"A request has at most {LARGEST_BODY_OCTETS} octets.", headers={"Connection": "close"}
    )


def problem_of(error: Exception, method: str, path: str) -> Problem:
    """Say what an exception means to the client, and log what it does not say."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DatabaseUnavailable):
        log.warning("database unavailable", because=str(error), path=path)
        return Problem(
            "unavailable",
            "The database does not answer; nothing was changed. Try again soon.",
            headers={"Retry-After": "2"},
        )
    identifier = secrets.token_hex(6)
    log.error("request failed", incident=identifier, method=method, path=path, exc_info=error)
    return Problem("internal-error", f"Something is broken here; the log of admin-api has it as incident {identifier}.")
