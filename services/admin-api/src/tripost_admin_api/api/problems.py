"""Errors as problem details (RFC 9457): what was wrong, where, and what would be accepted."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tripost:problem:"

KINDS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "malformed-request": (400, "The request cannot be read"),
        "not-authenticated": (401, "Authentication is needed"),
        "not-permitted": (403, "Not permitted"),
        "password-change-required": (403, "The one-time password must be replaced first"),
        "not-found": (404, "Not found"),
        "method-not-allowed": (405, "Method not allowed"),
        "request-timeout": (408, "The request came too slowly"),
        "conflict": (409, "Conflict"),
        "precondition-failed": (412, "Changed meanwhile"),
        "content-too-large": (413, "The request is too large"),
        "unsupported-media-type": (415, "The request's media type is not accepted"),
        "invalid": (422, "Not acceptable"),
        "too-many-logins": (429, "Too many failed logins"),
        "internal-error": (500, "Internal error"),
        "unavailable": (503, "Not available now"),
    }
)


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong: `field` is its place, such as `body.address` or `query.limit`."""

    field: str
    message: str


class Problem(Exception):
    """Raise it anywhere in a request; the client gets it as problem details. `detail` is a sentence for people."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Give the members of the problem."""
        members: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = [msgspec.to_builtins(error) for error in self.errors]
        return members

    def response(self) -> Response:
        """Give the HTTP response."""
        content = json.dumps(self.body(), ensure_ascii=False).encode()
        return Response(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def invalid(field: str, message: str) -> Problem:
    """Say that one field's value is not acceptable."""
    return all_invalid([FieldError(field, message)])


def all_invalid(wrong: Sequence[FieldError]) -> Problem:
    """Say which values are not acceptable; the detail tells of the first one."""
    place = wrong[0].field.partition(".")[2]
    return Problem("invalid", f"{place}: {wrong[0].message}" if place else wrong[0].message, errors=wrong)


def not_authenticated(detail: str, *, by_password: bool) -> Problem:
    """Ask for credentials (RFC 7235 §3.1): an operator's password, or a token."""
    scheme = 'Basic realm="tripost", charset="UTF-8"' if by_password else 'Bearer realm="tripost"'
    return Problem("not-authenticated", detail, headers={"WWW-Authenticate": scheme})


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Make a problem of the framework's own HTTP errors."""
    kind = next((name for name, (known, _) in KINDS.items() if known == status), None)
    if kind is None:
        kind = "malformed-request" if status < 500 else "internal-error"
    return Problem(kind, detail or HTTPStatus(status).phrase, headers=headers)
