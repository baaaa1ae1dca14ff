"""One attempt to send a message to the recipients of one transaction: what has been decided, and what time is left."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tripost_domains.delivery.outcome import Outcome, Result

MAX_PUT_OFF: Final = 2  # hosts that say "later" in one attempt, as Postfix's smtp_mx_session_limit


class Attempt:
    """The outcomes so far: each is here from the moment it is known, so that it stays whatever breaks after it.

    `put_off` are the recipients that the host being talked to will not take now, for whom another may be tried.
    `limit` ends the attempt at `deadline` (the event loop's time), wherever it is, unless the message has been handed
    over by then.
    """

    def __init__(self, recipients: Sequence[str], deadline: float | None) -> None:
        self.decided: dict[str, Outcome] = {}
        self.put_off: dict[str, Outcome] = {}
        self.limit = asyncio.timeout_at(deadline)
        self._recipients = recipients
        self._deadline = deadline
        self._words: dict[str, Outcome] = {}  # with which hosts have put recipients off, the last of each
        self._times_put_off = 0

    @property
    def is_too_late(self) -> bool:
        """Whether no time is left to begin."""
        return self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline

    @property
    def left(self) -> list[str]:
        """The recipients to ask the host for: nothing has been decided about them, in order."""
        return [recipient for recipient in self._recipients if self.is_left(recipient)]

    @property
    def said(self) -> dict[str, Outcome]:
        """What has been decided, and what the host being talked to has put off."""
        return self.decided | self.put_off

    def limit_of_wait(self) -> asyncio.Timeout:
        """Give what ends, at the deadline, the wait for a turn that goes before the attempt."""
        return asyncio.timeout_at(self._deadline)

    def is_left(self, recipient: str) -> bool:
        """Tell whether the host is to be asked for this one."""
        return recipient not in self.decided and recipient not in self.put_off

    def decide(self, recipients: Iterable[str], outcome: Outcome) -> None:
        """Note what became of some recipients."""
        self.decided.update(dict.fromkeys(recipients, outcome))

    def decide_rest(self, outcome: Outcome) -> None:
        """Note what became of all those that are left."""
        self.decide(self.left, outcome)

    def refuse(self, recipients: Iterable[str], outcome: Outcome) -> None:
        """Note that the host has refused some before the content: for good, or so that another may be asked."""
        refused = self.put_off if outcome.result is Result.DEFERRED else self.decided
        refused.update(dict.fromkeys(recipients, outcome))

    def settle(self, outcome: Outcome, recipients: Iterable[str] | None = None) -> None:
        """Decide in our words about all that are not decided, or some; what a host said as it put one off goes before.

        So what we miss at the next host never fails a recipient that a better one is to be asked for again.
        """
        self._remember()
        for recipient in self.left if recipients is None else recipients:
            self.decided[recipient] = self._words.get(recipient, outcome)

    def leave_host(self) -> bool:
        """Tell whether another host is to be tried, by the same deadline, for those that are left or put off."""
        self._times_put_off += bool(self.put_off)
        self._remember()
        if not self.left or self._times_put_off >= MAX_PUT_OFF:
            return False
        self.limit.reschedule(self._deadline)  # the message may have been handed over for others
        return True

    def hand_over(self) -> None:
        """Lift the limit, the final dot being sent: from now on the next hop may have taken the message."""
        self.limit.reschedule(None)

    def take_back(self, decided: Mapping[str, Outcome]) -> None:
        """Go back to what was decided before: the message will be sent once more, by the same deadline."""
        self.decided = dict(decided)
        self.put_off = {}
        self.limit.reschedule(self._deadline)

    def _remember(self) -> None:
        self._words |= self.put_off
        self.put_off = {}
