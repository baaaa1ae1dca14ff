"""GSSAPI with Kerberos (RFC 4752): a ticket instead of a password; no security layer, since TLS is one.

A context cannot travel, so the instance that has begun goes on: its name rides in each challenge. It keeps contexts for
a short time, MOST_OPEN at most; the oldest goes first.
"""

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from tripost_domains.directory.logins import KERBEROS_CREDENTIAL, Logins
from tripost_domains.sasl.answerer import accepted, is_oneself, refused
from tripost_domains.sasl.malformed import Malformed
from tripost_shared.clock import Clock
from tripost_shared.contracts.sasl import Mechanism, SaslAnswer, SaslOutcome, SaslQuestion
from tripost_shared.mail.failures import TransientFailure

MOST_OPEN: Final = 256
OPEN_SECONDS: Final = 60.0  # from one step to the next
AT_A_TIME: Final = 4  # threads; a step takes about a millisecond, and writes to the replay cache
NO_LAYER: Final = b"\x01\x00\x00\x00"  # RFC 4752 §3.3: "none" alone, so no octets to wrap later
_PRINCIPAL: Final = re.compile(r"([^/@\\\x00-\x20]+)@([^@\\\x00-\x20]+)")  # a user: no instance, nothing escaped


class TicketRefused(Exception):
    """The ticket is none for us, has expired, or is no ticket at all; the message is for the log."""


class SecurityContext(Protocol):
    """One client's context. All its methods compute: call them in a thread. They raise TicketRefused."""

    def step(self, token: bytes) -> bytes:
        """Take the client's token, give ours; b"" for none."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether both sides know each other."""
        ...

    @property
    def client(self) -> str:
        """The client's principal, once it is complete."""
        ...

    def wrap(self, octets: bytes) -> bytes:
        """Sign octets for the client."""
        ...

    def unwrap(self, token: bytes) -> bytes:
        """Give what the client has signed."""
        ...


class Acceptor(Protocol):
    """What has our keys."""

    def begin(self) -> SecurityContext:
        """Make a context for a new client."""
        ...


class _State(StrEnum):
    ESTABLISHING = "establishing"
    ESTABLISHED = "established"  # our last token is on its way; an empty response follows
    LAYER_OFFERED = "layer offered"


@dataclass(slots=True)
class _Open:
    context: SecurityContext
    until: float  # seconds of the monotonic clock
    state: _State = _State.ESTABLISHING


class Kerberos:
    """Answers GSSAPI. `realms`: the domain of ours whose mailboxes the users of a realm are."""

    def __init__(self, acceptor: Acceptor, realms: Mapping[str, str], logins: Logins, clock: Clock) -> None:
        self.instance = secrets.token_hex(8)
        self._acceptor = acceptor
        self._realms = realms
        self._logins = logins
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def answer(self, question: SaslQuestion) -> SaslAnswer:
        """Say what comes next."""
        if not question.exchange:
            return SaslAnswer(SaslOutcome.CHALLENGE)  # the client begins; any instance may go on
        if question.exchange[0]:
            raise Malformed("the client has not begun")
        opened = self._begin() if len(question.exchange) == 2 else self._take(question.session_id)
        try:
            async with self._places:
                challenge = await asyncio.to_thread(_advance, opened, question.exchange[-1])
            if isinstance(challenge, bytes):
                self._keep(question.session_id, opened)
                return SaslAnswer(SaslOutcome.CHALLENGE, challenge=challenge, instance=self.instance)
        except TicketRefused as failure:
            self._logins.log_refusal(question, str(failure))
            return refused(str(failure))
        return await self._conclude(question, opened.context.client, challenge.authorization)

    async def _conclude(self, question: SaslQuestion, principal: str, authorization: str) -> SaslAnswer:
        address = self._address(principal)
        if not address:
            because = "its principal is of no realm that is configured, or no user's"
            self._logins.log_refusal(question, because)
            return refused(because, principal)
        login = await self._logins.find(address)
        objection = login.objection(Mechanism.GSSAPI)
        if not objection and authorization != principal and not is_oneself(authorization, address):
            objection = "to act for another identity is not offered"
        if objection:
            self._logins.log_refusal(question, objection, login.key)
            return refused(objection, address)
        return accepted(login, KERBEROS_CREDENTIAL)

    def _address(self, principal: str) -> str:
        """Give the mailbox of a principal; "" when it is none of a user, or of a realm that nobody has configured."""
        match = _PRINCIPAL.fullmatch(principal)
        domain = self._realms.get(match[2], "") if match is not None else ""
        return f"{match[1]}@{domain}" if match is not None and domain else ""

    def _begin(self) -> _Open:
        return _Open(self._acceptor.begin(), 0.0)

    def _keep(self, session_id: str, opened: _Open) -> None:
        opened.until = self._clock.monotonic() + OPEN_SECONDS
        self._open[session_id] = opened
        self._open.move_to_end(session_id)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)

    def _take(self, session_id: str) -> _Open:
        opened = self._open.pop(session_id, None)
        if opened is None or self._clock.monotonic() >= opened.until:
            raise TransientFailure(because="the exchange has not begun here, or too long ago")
        return opened


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The client's last word: who it wants to be; "" for itself."""

    authorization: str


def _advance(opened: _Open, response: bytes) -> bytes | _Chosen:
    """Take a response; gives the next challenge, or the client's last word. Raises TicketRefused and Malformed."""
    if opened.state is _State.LAYER_OFFERED:
        return _chosen(opened.context.unwrap(response))
    if opened.state is _State.ESTABLISHING:
        token = opened.context.step(response)
        if not opened.context.is_complete:
            return token
        if token:
            opened.state = _State.ESTABLISHED
            return token
    elif response:
        raise Malformed("an empty response was to come")
    opened.state = _State.LAYER_OFFERED
    return opened.context.wrap(NO_LAYER)


def _chosen(octets: bytes) -> _Chosen:
    """Read which layer the client has chosen, and who it wants to be (RFC 4752 §3.1). Raises Malformed."""
    if len(octets) < 4 or octets[0] != NO_LAYER[0]:
        raise Malformed("another security layer than none")
    try:
        return _Chosen(octets[4:].decode().removesuffix("\0"))
    except UnicodeDecodeError:
        raise Malformed("the authorization identity is not UTF-8") from None
