"""What is outside of directory, tracking and delivery: the database, and the threads that verify passwords."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from tripost_domains.directory.model import CredentialRecord, DomainRecord, LocalPartRecord, Resolution, SenderRecord
from tripost_domains.tracking.past import Past
from tripost_shared.contracts.events import Event, Fact


class DirectoryUnavailable(Exception):
    """The directory's records could not be read now; the message is for the log."""


Wanted: TypeAlias = Mapping[str, Collection[str]]  # by domain, the local parts
Loaded: TypeAlias = tuple[DomainRecord, Mapping[str, LocalPartRecord]]


class DirectoryRecords(Protocol):
    """Where the directory's records are read. All raise DirectoryUnavailable."""

    async def load(self, wanted: Wanted) -> Mapping[str, Loaded]:
        """Read domains, each with some of its local parts (lower case); a local part that is none has no record."""
        ...

    async def load_credential(self, domain: str, local_part: str) -> CredentialRecord | None:
        """Read a mailbox as a login; None when there is none."""
        ...

    async def load_mechanisms(self) -> Collection[str]:
        """Read which SASL mechanisms any domain of ours allows; the default ones when there is no domain."""
        ...

    async def note_use(self, app_password: int, at: datetime) -> None:
        """Write when an application password was used last."""
        ...

    async def load_sender(self, domain: str, local_part: str) -> SenderRecord | None:
        """Read a mailbox as a sender; None when there is none."""
        ...

    async def first_domain(self) -> str:
        """Name the domain of ours that was made first; "" when there is none."""
        ...


class RecipientResolver(Protocol):
    """What delivery asks of the directory."""

    async def resolve_all(self, recipients: Sequence[str], *, afresh: bool = False) -> list[Resolution]:
        """Say where each recipient's address leads; raises TransientFailure when that cannot be known now.

        `afresh`: nothing that is remembered from before the call counts.
        """
        ...


class TooBusy(Exception):
    """So many passwords wait for their verification that one more would not be done in time."""


class PasswordVerifier(Protocol):
    """Verifies passwords off the event loop."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Compare; None (nobody can log in) takes as long as a hash and never matches. Raises TooBusy."""
        ...


class TrackingUnavailable(Exception):
    """Facts could not be written now; nothing of them was."""


class FactsRefused(Exception):
    """One of these facts holds what the database does not take, now or later; nothing of them was written."""


class TrackingStore(Protocol):
    """Where facts become rows. All raise TrackingUnavailable."""

    async def write(self, events: Sequence[Event]) -> None:
        """Write facts and their messages' statuses in one transaction; what was written before stays as it is.

        Raises FactsRefused, too.
        """
        ...

    async def purge(self, before: datetime, at_most: int) -> int:
        """Forget up to so many messages first seen before that time, with their facts; gives how many."""
        ...


class TrackedFacts(Protocol):
    """Where facts are read again."""

    async def read(self, message_id: str, kinds: Collection[Fact]) -> Sequence[Event]:
        """Give a message's facts of these kinds, in the order of time; raises TrackingUnavailable."""
        ...


class History(Protocol):
    """What delivery asks of the tracking, about a message that may have been worked on before."""

    async def past_of(self, message_id: str) -> Past:
        """Say what has become of it already; raises TrackingUnavailable."""
        ...
