"""The guard before every request: who is it, and may they? What is not named as public needs a token."""

import math
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tripost_admin_api.access.actor import Actor, Permission, permission, reads_status, takes_password
from tripost_admin_api.access.authentication import Authenticator, NotAuthenticated, Throttled
from tripost_admin_api.api.problems import Problem, not_authenticated

PUBLIC_PATHS: Final = frozenset({"/healthz"})

REFUSALS: Final = {
    Permission.READ_ONLY: ("not-permitted", "This token may only look (scope read); a change needs the scope admin."),
    Permission.TOO_LITTLE: ("not-permitted", "A password is good for a session or another password only."),
    Permission.NEEDS_LOGIN: ("not-permitted", "A session is begun with an operator's password (HTTP Basic)."),
    Permission.NEEDS_CHANGE: (
        "password-change-required",
        "This is a one-time password; set another: PUT /api/v1/operators/{name}/password.",
    ),
}


class Guard:
    """Middleware that lets nobody unknown through. The handler finds the actor in `request.state.actor`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit or refuse one request."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS:
            try:
                actor = await self._admit(Request(scope))
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
            scope.setdefault("state", {})["actor"] = actor
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> Actor:
        method, path = request.method, request.url.path
        by_password = takes_password(method, path)
        try:
            actor = await self._authenticator.authenticate(
                request.headers.get("authorization", ""),
                request.client.host if request.client else "",
                by_password=by_password,
                by_roll=reads_status(method, path),
            )
        except NotAuthenticated as error:
            raise not_authenticated(str(error), by_password=by_password) from None
        except Throttled as error:
            seconds = max(1, math.ceil(error.wait.total_seconds()))
            raise Problem(
                "too-many-logins",
                f"Too many failed logins; try again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            ) from None
        answer = permission(actor, method, path)
        if answer is not Permission.GRANTED:
            raise Problem(*REFUSALS[answer])
        return actor
