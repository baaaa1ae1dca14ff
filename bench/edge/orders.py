"""What the client process is told to do, and what it answers: one JSON object a line (`bench.edge.client`)."""

from typing import Final

import msgspec

WITHIN_SECONDS: Final = 50.0  # an order that takes longer has failed


class Target(msgspec.Struct, frozen=True):
    """A server on 127.0.0.1, and whether its clients use STARTTLS."""

    port: int
    tls: bool = False


class Send(msgspec.Struct, frozen=True, tag=True):
    """Send messages, so many in each session, in so many sessions at a time.

    `pipelining`: MAIL, RCPT and DATA in one write where the server offers it (RFC 2920), else each after its reply.
    """

    target: Target
    size_octets: int
    messages: int
    messages_per_session: int
    sessions_at_once: int
    pipelining: bool = False


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Open sessions, say EHLO, and hold them."""

    target: Target
    sessions: int


class UseHeld(msgspec.Struct, frozen=True, tag=True):
    """Send a message in each session that is held."""

    size_octets: int


class Drip(msgspec.Struct, frozen=True, tag=True):
    """Open sessions that from now on send an octet now and then: every other one of a command, else of a content."""

    target: Target
    sessions: int
    every_seconds: float


class Release(msgspec.Struct, frozen=True, tag=True):
    """Close all sessions that are held, and those that drip."""


class Visit(msgspec.Struct, frozen=True, tag=True):
    """Open sessions one after the other: connect, hear 220, say EHLO, hear 250, say QUIT, hear 221."""

    target: Target
    sessions: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """What has been done: messages that got their 250, or sessions; and the time that each visit took."""

    count: int
    visits_seconds: tuple[float, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why an order could not be obeyed."""

    because: str


Order = Send | Hold | UseHeld | Drip | Release | Visit
