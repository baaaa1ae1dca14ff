"""One attempt to send a message to the recipients of one transaction: what has been decided, and what time is left."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from tripost_domains.delivery.outcome import Outcome


class Attempt:
    """The outcomes so far: each is here from the moment it is known, so that it stays whatever breaks after it.

    `limit` ends the attempt at `deadline` (the event loop's time), wherever it is, unless the message has been handed
    over by then.
    """

    def __init__(self, recipients: Sequence[str], deadline: float | None) -> None:
        self.decided: dict[str, Outcome] = {}
        self.limit = asyncio.timeout_at(deadline)
        self._recipients = recipients
        self._deadline = deadline

    @property
    def left(self) -> list[str]:
        """The recipients about whom nothing has been decided, in order."""
        return [recipient for recipient in self._recipients if recipient not in self.decided]

    def decide(self, recipients: Iterable[str], outcome: Outcome) -> None:
        """Note what became of some recipients."""
        self.decided.update(dict.fromkeys(recipients, outcome))

    def decide_rest(self, outcome: Outcome) -> None:
        """Note what became of all those that are left."""
        self.decide(self.left, outcome)

    def hand_over(self) -> None:
        """Lift the limit, the final dot being sent: from now on the next hop may have taken the message."""
        self.limit.reschedule(None)

    def take_back(self, decided: Mapping[str, Outcome]) -> None:
        """Go back to what was decided before: the message will be sent once more, by the same deadline."""
        self.decided = dict(decided)
        self.limit.reschedule(self._deadline)
