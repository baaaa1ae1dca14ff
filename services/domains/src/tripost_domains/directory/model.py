"""What the directory knows, and where it says that mail goes: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.sasl import DEFAULT_MECHANISMS


class HopKind(StrEnum):
    """How the hosts of a next hop are found."""

    MX = "mx"  # by the MX records of `host`, which is a domain (RFC 5321 §5.1)
    SMARTHOST = "smarthost"  # `host` itself, a name or an address literal


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a message goes next. `tls`: "none", "may" (opportunistic) or "encrypt" (or not at all)."""

    kind: HopKind
    host: str
    port: int = 25
    tls: str = "may"


@dataclass(frozen=True, slots=True)
class MailboxDestination:
    """A mailbox of ours: `address` is its key, `local_part` and `domain` that key's two halves, without quotes."""

    address: str
    domain: str
    local_part: str


@dataclass(frozen=True, slots=True)
class RelayDestination:
    """A recipient elsewhere, as RCPT is to name it there."""

    recipient: str
    next_hop: NextHop


Destination = MailboxDestination | RelayDestination


class ExpansionKind(StrEnum):
    """Why an address was replaced by others."""

    ALIAS = "alias"
    CATCH_ALL = "catch-all"
    REDIRECT = "redirect"  # by a control rule, when edge took the message
    POSTMASTER = "postmaster"  # what postmaster@ and abuse@ lead to when nobody has configured them


@dataclass(frozen=True, slots=True)
class Expansion:
    """One step of a resolution, for the trace (the fact EXPANDED)."""

    address: str
    kind: ExpansionKind
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """A target that leads nowhere: left out, the others get the mail."""

    address: str
    because: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a recipient's address leads to.

    `destinations` are distinct; there is at least one when the kind is LOCAL, RELAY or FOREIGN, none when it is UNKNOWN
    or DISABLED, and then `because` says why, for the log and the trace.
    """

    kind: RecipientKind
    destinations: tuple[Destination, ...] = ()
    expansions: tuple[Expansion, ...] = ()
    dead_ends: tuple[DeadEnd, ...] = ()
    because: str = ""


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """The most specific route to a domain. `host` None: by MX."""

    host: str | None
    port: int = 25
    tls: str = "may"
    accepts_from_anyone: bool = False


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """A domain: one of ours, with its catch-all's targets if it has one, or a foreign one, with its route if any."""

    is_local: bool
    catch_all: tuple[str, ...] | None = None
    route: RouteRecord | None = None


@dataclass(frozen=True, slots=True)
class LocalPartRecord:
    """What a local part is in a domain of ours. `mailbox_enabled` None: no mailbox; `targets` None: no alias."""

    mailbox_enabled: bool | None = None
    targets: tuple[str, ...] | None = None

    @property
    def exists(self) -> bool:
        """Whether it is a mailbox, be it disabled, or an alias."""
        return self.mailbox_enabled is not None or self.targets is not None

    @property
    def takes_mail(self) -> bool:
        """Whether mail for it goes somewhere: to its mailbox, or else to its targets."""
        return self.targets is not None if self.mailbox_enabled is None else self.mailbox_enabled


@dataclass(frozen=True, slots=True)
class AppPasswordRecord:
    """A further password of a mailbox. `scope`: kinds of listeners; `networks`: CIDR forms, none for any."""

    id: int
    name: str
    digest: str = field(repr=False)
    scope: tuple[str, ...]
    networks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A mailbox as a login. `password_hash` None: it has none of its own, and none of the secrets.

    `mechanisms`: those that its domain allows; `secrets`: what others than PLAIN and LOGIN need, sealed.
    """

    enabled: bool
    password_hash: str | None = field(repr=False)
    mechanisms: tuple[str, ...] = DEFAULT_MECHANISMS
    app_passwords: tuple[AppPasswordRecord, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SenderRecord:
    """A mailbox as a sender. `grants`: addresses, or `@domain` for all of a domain."""

    enabled: bool
    grants: frozenset[str] = frozenset()
