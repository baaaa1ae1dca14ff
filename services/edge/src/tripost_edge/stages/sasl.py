"""The mechanisms that show a password, as conversations without input or output.

PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login); all others are domains' own (`sasl_relay.py`).
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from tripost_edge.session import replies
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.reply import SmtpReply

MAX_OCTETS: Final = 1024  # of a user name or a password; RFC 4616 §2 asks for 255


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client gave; the password shows up nowhere."""

    username: str
    password: str = field(repr=False)


class Exchange(Protocol):
    """One run of a mechanism. A challenge is a 334 reply; credentials end the run."""

    def begin(self, initial: bytes | None) -> SmtpReply | Credentials:
        """Start, with the initial response if there is one. Raises PermanentFailure."""
        ...

    def answer(self, response: bytes) -> SmtpReply | Credentials:
        """Take the response to the last challenge. Raises PermanentFailure."""
        ...


class Plain:
    """PLAIN: authorization identity, user name, password, each ended by NUL."""

    def begin(self, initial: bytes | None) -> SmtpReply | Credentials:
        """Read the initial response, or ask for it with an empty challenge."""
        return _challenge(b"") if initial is None else self.answer(initial)

    def answer(self, response: bytes) -> SmtpReply | Credentials:
        """Read the one response of this mechanism."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because="PLAIN response has not three parts")
        authorization, username, password = map(_text, parts)
        if authorization not in {"", username}:
            raise PermanentFailure(replies.AUTH_INVALID, because="to act for another identity is not offered")
        return Credentials(username, password)


class Login:
    """LOGIN: user name and password, each asked for."""

    def __init__(self) -> None:
        self._username: str | None = None

    def begin(self, initial: bytes | None) -> SmtpReply | Credentials:
        """Ask for the user name, or take it from the initial response."""
        return _challenge(b"Username:") if initial is None else self.answer(initial)

    def answer(self, response: bytes) -> SmtpReply | Credentials:
        """Take the user name first, then the password."""
        if self._username is None:
            self._username = _text(response)
            return _challenge(b"Password:")
        return Credentials(self._username, _text(response))


OWN_MECHANISMS: Final[Mapping[str, Callable[[], Exchange]]] = MappingProxyType({"PLAIN": Plain, "LOGIN": Login})


def decoded(text: str) -> bytes:
    """Decode a response; raises PermanentFailure on anything but canonical base64 (RFC 4648 §3.2, §3.3)."""
    try:
        octets = b64decode(text.encode("ascii"), validate=True)
    except (NotBase64, UnicodeEncodeError) as error:
        raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because="response is not base64") from error
    if b64encode(octets).decode("ascii") != text:
        raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because="response is not canonical base64")
    return octets


def _challenge(octets: bytes) -> SmtpReply:
    return SmtpReply(334, "", b64encode(octets).decode("ascii"))


def _text(octets: bytes) -> str:
    if len(octets) > MAX_OCTETS or b"\0" in octets:
        raise PermanentFailure(replies.AUTH_INVALID, because="user name or password too long, or with NUL")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because="response is not UTF-8") from error
