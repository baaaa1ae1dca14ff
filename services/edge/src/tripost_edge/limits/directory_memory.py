"""What a worker remembers of the directory, and which of its changes it knows of."""

from typing import Final

from tripost_edge.limits.short_memory import ShortMemory
from tripost_shared.clock import Clock
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import RecipientKind

CAPACITY: Final = 50_000  # recipients, and as many grants

GrantKey = tuple[str, str, str]
"""A login, a reverse-path that it may use, and the credential that it has been given for."""


class DirectoryMemory:
    """Recipients that anyone may send to, grants, and mechanisms, each for `seconds` and until the directory changes.

    Every question to domains carries `revision`, so that a replica that has not heard of the change does not answer
    from what it remembers: its answer would be kept here as one from after the change.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.recipients: ShortMemory[str, RecipientKind] = ShortMemory(clock, seconds, CAPACITY)
        self.grants: ShortMemory[GrantKey, bool] = ShortMemory(clock, seconds, CAPACITY)
        self.mechanisms: ShortMemory[str, tuple[str, ...]] = ShortMemory(clock, max(seconds, 1), 1)
        self.revision = 0  # of the newest change that is known; 0 before the first

    def take(self, change: DirectoryChange) -> None:
        """Drop everything: the directory has changed. The revision may go back, where the cluster lost its state."""
        self.recipients.forget()
        self.grants.forget()
        self.mechanisms.forget()
        self.revision = change.revision
