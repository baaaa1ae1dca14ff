"""What facts tell of their message as a whole; pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tripost_domains.tracking.status import Seen
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.tracking import Role
from tripost_shared.mail.address import folded

OF_DSN: Final = frozenset({Fact.BOUNCED, Fact.REPORTED})  # whose recipient is that of the DSN
NAMING: Final = frozenset({Fact.REFUSED, Fact.ACCEPTED, Fact.DISCARDED, Fact.EXPANDED})


@dataclass(slots=True)
class Summary:
    """A message as its facts of one batch show it; `envelope_from` is the fact that tells of its envelope, if any.

    `named`: the recipients and logins that these facts tell for the first time, folded; `concerned`: the
    recipients that the other ones are about, which those have named before.
    """

    id: str
    first_at: datetime
    seen: list[Seen]
    envelope_from: Event | None = None
    named: set[tuple[Role, str]] = field(default_factory=set)
    concerned: set[tuple[Role, str]] = field(default_factory=set)

    def add(self, event: Event) -> None:
        """Take one more fact in."""
        self.first_at = min(self.first_at, event.at)
        self.seen.append(Seen(event.recipient, event.fact, event.at.timestamp()))
        # What was accepted says more than a recipient's refusal before.
        if event.fact is Fact.ACCEPTED or (event.fact is Fact.REFUSED and self.envelope_from is None):
            self.envelope_from = event
        self._note_addresses(event)

    def _note_addresses(self, event: Event) -> None:
        if event.fact not in NAMING:
            if event.recipient and event.fact not in OF_DSN:
                self.concerned.add((Role.RECIPIENT, folded(event.recipient)))
            return
        for recipient in (*event.recipients, event.recipient):
            if recipient:
                self.named.add((Role.RECIPIENT, folded(recipient)))
        for login in (event.login, event.tried_login):
            if login:
                self.named.add((Role.LOGIN, folded(login)))


def summarise(events: Iterable[Event]) -> dict[str, Summary]:
    """Sort facts by message."""
    summaries: dict[str, Summary] = {}
    for event in events:
        summary = summaries.get(event.message_id)
        if summary is None:
            summary = summaries[event.message_id] = Summary(event.message_id, event.at, [])
        summary.add(event)
    return summaries
