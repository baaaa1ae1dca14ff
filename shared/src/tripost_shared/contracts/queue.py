"""What domains and admin-api both know of the deferred queue, which they share through the database."""

from enum import StrEnum
from typing import Final

MAILBOX_HOP: Final = "mailbox"  # what stands for the next hop of a local delivery


def smarthost_hop(host: str, port: int) -> str:
    """Name a smarthost as a next hop; one that is found by MX records is named by its domain alone."""
    return f"{host}:{port}"


class DeliveryState(StrEnum):
    """Where a delivery in the queue is.

    The scheduler moves DEFERRED to ATTEMPTING (a claim) and back, or deletes the row. Operators move DEFERRED to HELD
    and back, set another due time, or delete the row. A claim that has run out counts as DEFERRED. Domains puts HELD
    what it must not attempt by itself: what a verdict holds back, and what it cannot work on.
    """

    DEFERRED = "deferred"
    HELD = "held"
    ATTEMPTING = "attempting"
