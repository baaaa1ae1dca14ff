"""The phases of an SMTP session, and the one table that moves between them (RFC 5321 §3, §4.1.4)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tripost_edge.session import replies
from tripost_shared.mail.reply import SmtpReply


class Phase(StrEnum):
    """How far the session has come."""

    CONNECTED = "connected"  # greeted by us; nothing that counts said by the client
    GREETED = "greeted"  # HELO or EHLO was given, no transaction is open
    MAIL_GIVEN = "mail given"
    RCPT_GIVEN = "rcpt given"  # at least one recipient was accepted
    RECEIVING = "receiving"  # after 354, until the end of the content; after BDAT, until the end of the chunk
    CHUNKING = "chunking"  # some chunks of the content have come, and were taken
    DISCARDING = "discarding"  # a chunk was refused: the message's others are read and dropped (RFC 3030 §2)
    CLOSED = "closed"


class Event(StrEnum):
    """What moves a session on: commands, and the end of the content."""

    HELLO = "hello"  # HELO, EHLO
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    XCLIENT = "xclient"  # the session begins anew, for another client
    BDAT = "bdat"
    CHUNK = "chunk"  # one has arrived and was taken, more are to come
    CHUNK_REFUSED = "chunk refused"  # the same, but nothing will come of the message
    CONTENT = "content"  # the whole content has arrived, whatever became of it
    RSET = "rset"
    OTHER = "other"  # NOOP, HELP, VRFY: at any time, changing nothing
    QUIT = "quit"


_OPEN: Final = (
    *(Phase.CONNECTED, Phase.GREETED, Phase.MAIL_GIVEN, Phase.RCPT_GIVEN),
    *(Phase.CHUNKING, Phase.DISCARDING),
)

NEXT_PHASE: Final[Mapping[tuple[Phase, Event], Phase]] = MappingProxyType(
    {
        **{(phase, Event.HELLO): Phase.GREETED for phase in _OPEN},  # a new EHLO drops the transaction (§4.1.4)
        **{(phase, Event.OTHER): phase for phase in _OPEN},
        **{(phase, Event.QUIT): Phase.CLOSED for phase in _OPEN},
        (Phase.CONNECTED, Event.RSET): Phase.CONNECTED,
        (Phase.GREETED, Event.RSET): Phase.GREETED,
        (Phase.MAIL_GIVEN, Event.RSET): Phase.GREETED,
        (Phase.RCPT_GIVEN, Event.RSET): Phase.GREETED,
        (Phase.CHUNKING, Event.RSET): Phase.GREETED,
        (Phase.DISCARDING, Event.RSET): Phase.GREETED,
        (Phase.GREETED, Event.STARTTLS): Phase.CONNECTED,  # all that was said before is forgotten (RFC 3207 §4.2)
        (Phase.CONNECTED, Event.XCLIENT): Phase.CONNECTED,
        (Phase.GREETED, Event.XCLIENT): Phase.CONNECTED,
        (Phase.GREETED, Event.AUTH): Phase.GREETED,  # never within a transaction (RFC 4954 §4)
        (Phase.GREETED, Event.MAIL): Phase.MAIL_GIVEN,
        (Phase.MAIL_GIVEN, Event.RCPT): Phase.RCPT_GIVEN,
        (Phase.RCPT_GIVEN, Event.RCPT): Phase.RCPT_GIVEN,
        (Phase.RCPT_GIVEN, Event.DATA): Phase.RECEIVING,  # §3.3: DATA needs a recipient
        (Phase.RCPT_GIVEN, Event.BDAT): Phase.RECEIVING,
        (Phase.CHUNKING, Event.BDAT): Phase.RECEIVING,
        (Phase.DISCARDING, Event.BDAT): Phase.RECEIVING,
        (Phase.RECEIVING, Event.CHUNK): Phase.CHUNKING,
        (Phase.RECEIVING, Event.CHUNK_REFUSED): Phase.DISCARDING,
        (Phase.RECEIVING, Event.CONTENT): Phase.GREETED,
    }
)

_REFUSALS: Final[Mapping[tuple[Phase, Event], SmtpReply]] = MappingProxyType(
    {
        **{(Phase.CONNECTED, event): replies.HELLO_FIRST for event in (Event.MAIL, Event.STARTTLS, Event.AUTH)},
        (Phase.MAIL_GIVEN, Event.MAIL): replies.NESTED_MAIL,
        (Phase.RCPT_GIVEN, Event.MAIL): replies.NESTED_MAIL,
        (Phase.MAIL_GIVEN, Event.DATA): replies.NO_VALID_RECIPIENTS,
        (Phase.MAIL_GIVEN, Event.BDAT): replies.NO_VALID_RECIPIENTS,
    }
)


def refusal(phase: Phase, event: Event) -> SmtpReply | None:
    """Give the reply to a command that has no place in this phase; None when it has one."""
    if (phase, event) in NEXT_PHASE:
        return None
    return _REFUSALS.get((phase, event), replies.BAD_SEQUENCE)
