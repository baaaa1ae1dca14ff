"""HELO and EHLO: the client says its name, and hears what works here (RFC 5321 §4.1.1.1)."""

import re
from typing import Final, NamedTuple

from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_edge.session.xclient import OFFER as XCLIENT
from tripost_shared.mail.address import InvalidAddress, normalise_domain
from tripost_shared.mail.reply import SmtpReply

# Names that are not host names are taken (RFC 5321 §4.1.4 forbids to refuse for that); the filter weighs them.
_NAME: Final = re.compile(r"[\x21-\x7e]{1,255}")


class _Offer(NamedTuple):
    """What the extensions that are offered depend on."""

    tls: bool
    mechanisms: tuple[str, ...]
    size_limit_octets: int
    recipients: int
    messages: int
    xclient: bool


class Hello:
    """Answers HELO and EHLO. What EHLO offers is exactly what the next commands will do."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._offers: dict[_Offer, SmtpReply] = {}

    def ehlo(self, session: Session, name: str) -> SmtpReply:
        """Take the client's name and list the extensions."""
        if not (taken := _taken(name)):
            return replies.BAD_HELLO
        session.learn(helo=taken, esmtp=True)
        limits = session.limits
        offer = _Offer(
            session.offers_tls and not session.client.tls,
            session.offered_mechanisms,
            limits.size_limit_octets,
            limits.recipients_limit,
            limits.messages_per_session,
            session.offers_xclient,
        )
        if offer not in self._offers:
            self._offers[offer] = SmtpReply(250, "", "\n".join([self._hostname, *_extensions(offer)]))
        return self._offers[offer]

    def helo(self, session: Session, name: str) -> SmtpReply:
        """Take the client's name; no extensions from now on."""
        if not (taken := _taken(name)):
            return replies.BAD_HELLO
        session.learn(helo=taken, esmtp=False)
        return SmtpReply(250, "", self._hostname)


def _extensions(offer: _Offer) -> list[str]:
    offers = ["PIPELINING", f"SIZE {offer.size_limit_octets}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
    offers += ["DSN", "CHUNKING", f"LIMITS MAILMAX={offer.messages} RCPTMAX={offer.recipients}"]  # RFC 9422
    if offer.tls:
        offers.append("STARTTLS")
    if offer.mechanisms:
        offers.append("AUTH " + " ".join(offer.mechanisms))
    if offer.xclient:
        offers.append(XCLIENT)
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
