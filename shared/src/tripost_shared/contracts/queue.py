"""What domains and admin-api both know of the deferred queue, which they share through the database."""

from enum import StrEnum


class DeliveryState(StrEnum):
    """Where a delivery in the queue is.

    The scheduler moves DEFERRED to ATTEMPTING (a claim) and back, or deletes the row. Operators move DEFERRED to HELD
    and back, set another due time, or delete the row. A claim that has run out counts as DEFERRED. Domains puts HELD
    what it must not attempt by itself: what a verdict holds back, and what it cannot work on.
    """

    DEFERRED = "deferred"
    HELD = "held"
    ATTEMPTING = "attempting"
