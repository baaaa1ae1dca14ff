"""HEAD: what GET would answer, without the body (RFC 9110 §9.3.2)."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Has HEAD served as GET wherever there is GET, with the same fields, the length of the body among them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)


def allowed(methods: Iterable[str]) -> str:
    """Write the `Allow` field of a path that has these methods."""
    known = set(methods)
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))
