"""What a check is: the one small interface that all of them have."""

from enum import StrEnum
from typing import Protocol

from tripost_filter.mail import Mail
from tripost_shared.contracts.filter import CONNECTION_STAGE, SENDER_STAGE, Finding


class Stage(StrEnum):
    """When a check is asked; the checks of one stage run side by side and do not see each other's findings."""

    CONNECTION = CONNECTION_STAGE  # the client's address is known
    # Once per transaction, before its first recipient is answered: HELO and reverse-path are known. Again for
    # recipients that come later, while it is refused or a check could not do its work.
    SENDER = SENDER_STAGE
    RECIPIENT = "recipient"  # once per recipient, unless the sender is refused
    MESSAGE = "message"  # the content is known
    CONCLUSION = "conclusion"  # after MESSAGE, with its findings: for checks that weigh others' results


class MustWait(Exception):
    """What a check needs to know is not at hand: it has to be asked for."""


class Check(Protocol):
    """Looks at mail in one respect.

    A check says what it found and asks for a refusal where its standard or its own settings call for one. What happens
    when it raises or takes too long is not its business but that of its `CheckPolicy`. A check that knows that it could
    not do its work returns a finding with `degraded`, and the same policy applies. What it waits for must be
    asynchronous; its work between two waits should take a millisecond at most, so a large message is gone through by
    `mail.chunks()`. One check object serves all mail under one configuration: what must outlive that, such as
    connections and memories, belongs to the registry's `Surroundings`.
    """

    @property
    def name(self) -> str:
        """The name in the registry, in findings and in the configuration."""
        ...

    @property
    def stages(self) -> frozenset[Stage]:
        """At which stages it is asked."""
        ...

    async def examine(self, mail: Mail) -> Finding | None:
        """Examine the mail; None when the check has no business with it."""
        ...


class QuickCheck(Check, Protocol):
    """A check that mostly has all it needs in memory; the pipeline spares such a check the cost of a task."""

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """As `examine`, without waiting for anything; raises MustWait when only `examine` will do."""
        ...
