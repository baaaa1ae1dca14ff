"""What facts tell of their message as a whole; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tripost_domains.tracking.status import Seen
from tripost_shared.contracts.events import Event, Fact


@dataclass(slots=True)
class Summary:
    """A message as its facts of one batch show it; `envelope_from` is the fact that tells of its envelope, if any."""

    id: str
    first_at: datetime
    seen: list[Seen]
    envelope_from: Event | None = None

    def add(self, event: Event) -> None:
        """Take one more fact in."""
        self.first_at = min(self.first_at, event.at)
        self.seen.append(Seen(event.recipient, event.fact, event.at.timestamp()))
        # What was accepted says more than a recipient's refusal before.
        if event.fact is Fact.ACCEPTED or (event.fact is Fact.REFUSED and self.envelope_from is None):
            self.envelope_from = event


def summarise(events: Iterable[Event]) -> dict[str, Summary]:
    """Sort facts by message."""
    summaries: dict[str, Summary] = {}
    for event in events:
        summary = summaries.get(event.message_id)
        if summary is None:
            summary = summaries[event.message_id] = Summary(event.message_id, event.at, [])
        summary.add(event)
    return summaries
