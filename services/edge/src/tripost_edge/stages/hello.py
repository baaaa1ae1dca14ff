"""HELO and EHLO: the client says its name, and hears what works here (RFC 5321 §4.1.1.1)."""

import re
from typing import Final

from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.mail.address import InvalidAddress, normalise_domain
from tripost_shared.mail.reply import SmtpReply

# Names that are not host names are taken (RFC 5321 §4.1.4 forbids to refuse for that); the filter weighs them.
_NAME: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Hello:
    """Answers HELO and EHLO. What EHLO offers is exactly what the next commands will do."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._offers: dict[tuple[bool, tuple[str, ...], int], SmtpReply] = {}

    def ehlo(self, session: Session, name: str) -> SmtpReply:
        """Take the client's name and list the extensions."""
        if not (taken := _taken(name)):
            return replies.BAD_HELLO
        session.learn(helo=taken, esmtp=True)
        offers_tls = session.offers_tls and not session.client.tls
        key = (offers_tls, session.offered_mechanisms, session.limits.size_limit_octets)
        if key not in self._offers:
            self._offers[key] = SmtpReply(250, "", "\n".join([self._hostname, *self._extensions(*key)]))
        return self._offers[key]

    def helo(self, session: Session, name: str) -> SmtpReply:
        """Take the client's name; no extensions from now on."""
        if not (taken := _taken(name)):
            return replies.BAD_HELLO
        session.learn(helo=taken, esmtp=False)
        return SmtpReply(250, "", self._hostname)

    def _extensions(self, offers_tls: bool, mechanisms: tuple[str, ...], size_limit_octets: int) -> list[str]:
        offers = ["PIPELINING", f"SIZE {size_limit_octets}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        offers += ["DSN", "CHUNKING"]
        if offers_tls:
            offers.append("STARTTLS")
        if mechanisms:
            offers.append("AUTH " + " ".join(mechanisms))
        return offers


def _taken(name: str) -> str:
    """Give the name in ASCII: U-labels become A-labels, as a client should have sent them (RFC 6531 §3.7.1).

    "" for what is no name: nothing, several words, other characters that make no domain.
    """
    if name.isascii():
        return name if _NAME.fullmatch(name) else ""
    try:
        return normalise_domain(name)
    except InvalidAddress:
        return ""
