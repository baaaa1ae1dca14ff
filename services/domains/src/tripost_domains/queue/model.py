"""The deferred queue's values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tripost_domains.delivery.outcome import MAILBOX
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.envelope import Recipient


@dataclass(frozen=True, slots=True)
class Deferral:
    """A delivery to be put into the queue, or put off in it. `attempts` counts those that were made.

    `written_to` is the address that the sender wrote to, when an alias has led from there to the recipient; else "".

    `is_held`: it comes into the queue as HELD, so that no attempt is made until an operator releases it.
    `may_be_settled`: as a Claim's, and no other attempt was made since.
    """

    recipient: Recipient
    next_hop: str
    attempts: int
    next_attempt_at: datetime
    expires_at: datetime
    last_reply: str
    is_held: bool = False
    written_to: str = ""
    may_be_settled: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A queued delivery that is ours to attempt until the claim runs out. `written_to`: as a Deferral's.

    `may_be_settled`: a claim before this one ran out or was given back, so an attempt may have gone well whose row was
    not deleted any more. `last_attempt_at` is that of the attempt before.
    """

    id: int
    message_id: str
    recipient: Recipient
    next_hop: str
    attempts: int
    expires_at: datetime
    written_to: str = ""
    may_be_settled: bool = False
    last_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A queued message with those of its deliveries that were claimed together."""

    message: SpooledMessage
    claims: tuple[Claim, ...]

    @property
    def may_be_settled(self) -> bool:
        """Whether one of them may be."""
        return any(claim.may_be_settled for claim in self.claims)


class Unreadable(NamedTuple):
    """Deliveries whose message cannot be read."""

    message_id: str
    rows: tuple[int, ...]
    recipients: tuple[str, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim found: deliveries that are ours now, and those that were held since they cannot be read.

    `was_beaten`: some that were due were claimed by another first, so there may be more.
    """

    messages: list[ClaimedMessage] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    was_beaten: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """How much may be claimed: for all next hops together, for one of them, and for mailboxes, which are apart.

    `busy`: deliveries by next hop that are at work in this process, which count; `busy_rows`: which these are, and
    those that are to be left alone, each by its number and its message. `stuck`: next hops that get nothing now.
    `takes_over`: also what others claimed and did not renew for one lease more than they had asked for.
    """

    at_most: int
    per_hop: int
    mailboxes: int = 50
    busy: Mapping[str, int] = field(default_factory=dict)
    busy_rows: frozenset[tuple[int, str]] = frozenset()
    stuck: frozenset[str] = frozenset()
    takes_over: bool = True

    def room_for(self, next_hop: str) -> int:
        """How many more deliveries the next hop may get."""
        if next_hop in self.stuck:
            return 0
        return max(0, (self.mailboxes if next_hop == MAILBOX else self.per_hop) - self.busy.get(next_hop, 0))


@dataclass(frozen=True, slots=True)
class QueueState:
    """How full the queue is: deliveries by state, and when the oldest one came in (None: empty)."""

    counts: dict[DeliveryState, int]
    oldest_at: datetime | None
