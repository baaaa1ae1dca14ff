"""Who asks, and what they may do; pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SESSION_PATH: Final = "/api/v1/session"
OPERATORS_PATH: Final = "/api/v1/operators/"
STATUS_PATHS: Final = frozenset({"/api/v1/status", "/api/v1/health"})
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a token is good for."""

    ADMIN = "admin"  # everything
    READ = "read"  # looking, nothing else


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `name` is what the audit says: "token ci" or "operator admin".

    `scope` None: an operator by password, who may only get a session or set a password. `operator` is the operator's
    name, for sessions too; "" for other tokens. `must_change_password`: a one-time password, good for another only.
    `proof` is what the database held when the actor was let in: the token's digest, or the password's hash.
    """

    name: str
    scope: Scope | None
    operator: str = ""
    must_change_password: bool = False
    proof: str = field(default="", repr=False)


class Permission(StrEnum):
    """The answer to a request of an actor."""

    GRANTED = "granted"
    READ_ONLY = "read-only"  # the token may only look
    TOO_LITTLE = "too-little"  # a password is good for a session or another password only
    NEEDS_LOGIN = "needs-login"  # a session is made with an operator's password only
    NEEDS_CHANGE = "needs-change"  # the one-time password must be replaced first


def permission(actor: Actor, method: str, path: str) -> Permission:
    """Decide what the actor may do; paths that do not exist are judged like all others."""
    if actor.scope is None:
        return _permission_by_password(actor, method, path)
    if method in READING:
        return Permission.GRANTED
    if actor.scope is not Scope.ADMIN:
        return Permission.READ_ONLY
    if (method, path) == ("POST", SESSION_PATH):
        return Permission.NEEDS_LOGIN
    return Permission.GRANTED


def takes_password(method: str, path: str) -> bool:
    """Tell whether an operator's password is good for this request."""
    if (method, path) == ("POST", SESSION_PATH):
        return True
    return method == "PUT" and path.startswith(OPERATORS_PATH) and path.endswith("/password")


def reads_status(method: str, path: str) -> bool:
    """Tell whether the request is good for nothing but to learn how the cluster does."""
    return method in READING and path in STATUS_PATHS


def _permission_by_password(actor: Actor, method: str, path: str) -> Permission:
    if (method, path) == ("PUT", f"{OPERATORS_PATH}{actor.operator}/password"):
        return Permission.GRANTED
    if actor.must_change_password:
        return Permission.NEEDS_CHANGE
    if (method, path) == ("POST", SESSION_PATH):
        return Permission.GRANTED
    return Permission.TOO_LITTLE
