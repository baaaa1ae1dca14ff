"""What all mechanisms of `domains.v1.sasl` have in common."""

from typing import Protocol

from tripost_domains.directory.logins import Login, address_of
from tripost_shared.contracts.sasl import SaslAnswer, SaslOutcome, SaslQuestion


class Answerer(Protocol):
    """One mechanism: says what comes next in an exchange of it."""

    async def answer(self, question: SaslQuestion) -> SaslAnswer:
        """Give a challenge, or the end. Raises TransientFailure, and Malformed for what has no place here."""
        ...


def challenge(octets: bytes, username: str = "") -> SaslAnswer:
    """Go on."""
    return SaslAnswer(SaslOutcome.CHALLENGE, challenge=octets, username=username)


def refused(because: str, username: str = "") -> SaslAnswer:
    """End it; `because` is for the trace."""
    return SaslAnswer(SaslOutcome.REFUSED, username=username, because=because)


def accepted(login: Login, credential: str) -> SaslAnswer:
    """Let the mailbox's user in."""
    return SaslAnswer(SaslOutcome.ACCEPTED, login=login.key, credential=credential, username=login.key)


def is_oneself(authorization: str, username: str) -> bool:
    """Tell whether an authorization identity asks for nothing more than the login itself."""
    if authorization in {"", username}:
        return True
    asked, own = address_of(authorization), address_of(username)
    return asked is not None and own is not None and asked.key == own.key
