"""Facts about sessions, messages and deliveries; tracking and the ledger are built from them alone."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from tripost_shared.contracts.filter import Finding

EVENTS_SUBJECT: Final = "events.v1"  # followed by `.` and the service's name


class Fact(StrEnum):
    """What happened."""

    REFUSED = "refused"  # edge answered 4yz or 5yz to a connection, a command or the message
    ACCEPTED = "accepted"  # edge answered 250 to the message
    DELIVERED = "delivered"  # in a mailbox
    RELAYED = "relayed"  # the next hop took it
    DEFERRED = "deferred"  # an attempt failed for now
    FAILED = "failed"  # given up for this recipient
    BOUNCED = "bounced"  # a DSN on a failure was spooled; `related` is its id
    REPORTED = "reported"  # the same on a success or a delay, which the sender had asked for
    EXPANDED = "expanded"  # an alias was replaced by its targets, `recipients`
    DISCARDED = "discarded"  # accepted and dropped, by a verdict or by an operator
    HELD = "held"  # by an operator, a verdict, or since it cannot be worked on
    RELEASED = "released"
    LIMIT_WARNED = "warned"  # four fifths of a rate are used up; once for a key and window, over all replicas


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact. `id` is unique per fact, so that writing it twice changes nothing.

    `message_id` is that of the message, or the session's id where no transaction had begun. `reply` is the reply that
    we gave (edge) or that the next hop gave (domains), as text. `detail` is a short text for people. For ACCEPTED and
    REFUSED: `client`, `helo`, `login`, `reverse_path`, `recipients`, `size_octets`, `findings`, `subject`. For
    EXPANDED: `recipients`, what the address was replaced by. Where an authentication failed: `tried_login`, the user
    name that was given, which may be nobody's. Where the filter gave a verdict: its `score`, its `action` ("accept",
    "tag", "reject" …), the `rule` that decided, and the action `intended` that monitor mode held back; "" for none.
    Where an access rule of edge refused, `rule` is its name.
    """

    id: str
    message_id: str
    at: datetime
    fact: Fact
    service: str
    stage: str = ""  # connect, hello, auth, mail, rcpt, data, delivery, queue, bounce
    recipient: str = ""
    next_hop: str = ""
    reply: str = ""
    detail: str = ""
    related: str = ""
    direction: str = ""
    client: str = ""
    helo: str = ""
    login: str = ""
    tried_login: str = ""
    reverse_path: str | None = None
    recipients: tuple[str, ...] = ()
    size_octets: int = 0
    subject: str = ""
    tls: str = ""
    score: float = 0.0
    action: str = ""
    rule: str = ""
    intended: str = ""
    findings: tuple[Finding, ...] = ()


class EventBatch(msgspec.Struct, frozen=True):
    """What travels: several facts in one durable message."""

    events: tuple[Event, ...]
