"""Where an address leads: mailbox, alias, catch-all, or another host; pure.

The decision is made over records that are at hand. When some are not, it answers which, and is asked again once they
have been read: so a nested alias costs one reading per level, not one per address.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tripost_domains.directory.model import (
    DeadEnd,
    Destination,
    DomainRecord,
    Expansion,
    ExpansionKind,
    HopKind,
    LocalPartRecord,
    MailboxDestination,
    NextHop,
    RelayDestination,
    Resolution,
    RouteRecord,
)
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.mail.address import Address, InvalidAddress
from tripost_shared.mail.lookup import MAX_ADDRESSES, MAX_DEPTH, RESERVED, candidates

DISABLED: Final = "the mailbox is disabled"
NO_SUCH: Final = "no such recipient"


@dataclass(frozen=True, slots=True)
class Records:
    """What has been read so far. A local part that was looked for and is none has an empty record."""

    domains: dict[str, DomainRecord] = field(default_factory=dict)
    local_parts: dict[tuple[str, str], LocalPartRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """What must be read before the decision can be made: for each domain the local parts, folded."""

    local_parts: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Rules:
    """`postmaster` gets the mail for the reserved names of domains that do not define them (None: see `_reserved`).

    `aliases_only`: catch-alls and reserved names do not count, as for the right to send from an address.
    """

    postmaster: Address | None = None
    aliases_only: bool = False


Step = Destination | Expansion | DeadEnd


def resolve(recipient: Address, records: Records, rules: Rules) -> Resolution | Missing:
    """Say where a recipient (with a domain) leads, or what must be read first."""
    walk = _Walk(recipient)
    for _ in range(MAX_DEPTH + 1):
        missing = _missing(walk.level, records)
        if missing.local_parts:
            return missing
        for address in walk.level:
            walk.take(address, _step(address, records, rules))
        if len(walk.seen) > MAX_ADDRESSES:
            return Resolution(RecipientKind.DISABLED, because=f"leads to more than {MAX_ADDRESSES} addresses")
        if not walk.descend():
            return walk.resolution(records.domains[recipient.domain])
    return Resolution(RecipientKind.DISABLED, because=f"aliases nested more than {MAX_DEPTH} deep")


def names_of(address: Address, records: Records) -> tuple[str, ...]:
    """Give the keys that an address (with a domain) goes by: its own, and the one without its detail.

    Not the latter where the whole is the name of a mailbox or an alias of ours: mail for it is that one's, and no
    other's detail. What an address with a detail is looked for as must have been read.
    """
    names = candidates(address.local_part)
    whole = records.local_parts.get((address.domain, names[0]), LocalPartRecord())
    return tuple(Address(name, address.domain).key for name in (names[:1] if whole.exists else names))


def route_names(domain: str) -> tuple[str, ...]:
    """Name the routes that would take a domain's mail, the most specific first."""
    if domain.startswith("["):
        return (domain, "*")
    labels = domain.split(".")
    return (domain, *("." + ".".join(labels[start:]) for start in range(1, len(labels))), "*")


def next_hop(domain: str, route: RouteRecord | None) -> NextHop:
    """Say where mail for a foreign domain goes; an address literal is its own host, and no administrator's choice."""
    if route is None:
        return NextHop(HopKind.MX, domain)
    if route.host is None:
        return NextHop(HopKind.MX, domain, route.port, route.tls)
    return NextHop(HopKind.SMARTHOST, route.host, route.port, route.tls)


class _Walk:
    """The state of one resolution: level by level, each address once."""

    def __init__(self, recipient: Address) -> None:
        self.level = [recipient]
        self.seen = {recipient.key}
        self._next_level: list[Address] = []
        self._destinations: dict[Destination, None] = {}
        self._expansions: list[Expansion] = []
        self._dead_ends: list[DeadEnd] = []

    def take(self, address: Address, step: Step) -> None:
        if isinstance(step, DeadEnd):
            self._dead_ends.append(step)
        elif isinstance(step, Expansion):
            self._expansions.append(step)
            for target in step.targets:
                self._follow(address, target)
        else:
            self._destinations[step] = None

    def descend(self) -> bool:
        self.level, self._next_level = self._next_level, []
        return bool(self.level)

    def resolution(self, domain: DomainRecord) -> Resolution:
        found = (tuple(self._destinations), tuple(self._expansions), tuple(self._dead_ends))
        if self._destinations:
            return Resolution(_kind(domain), *found)
        reasons = dict.fromkeys(end.because for end in self._dead_ends)
        kind = RecipientKind.DISABLED if DISABLED in reasons else RecipientKind.UNKNOWN
        return Resolution(kind, *found, because="; ".join(reasons) or "an alias that leads to itself only")

    def _follow(self, source: Address, target: str) -> None:
        try:
            address = Address.parse(target)
        except InvalidAddress as error:
            self._dead_ends.append(DeadEnd(target, f"target of {source.key}: {error}"))
            return
        if address.key not in self.seen:  # one that was seen closes a loop, or is there by another way
            self.seen.add(address.key)
            self._next_level.append(address)


def _kind(domain: DomainRecord) -> RecipientKind:
    if domain.is_local:
        return RecipientKind.LOCAL
    relayed = domain.route is not None and domain.route.accepts_from_anyone
    return RecipientKind.RELAY if relayed else RecipientKind.FOREIGN


def _missing(level: list[Address], records: Records) -> Missing:
    wanted: dict[str, set[str]] = {}
    for address in level:
        domain = records.domains.get(address.domain)
        if domain is None or (domain.is_local and any(_unread(address, records))):
            wanted.setdefault(address.domain, set()).update(candidates(address.local_part))
    return Missing({domain: frozenset(local_parts) for domain, local_parts in wanted.items()})


def _unread(address: Address, records: Records) -> Iterator[bool]:
    return ((address.domain, name) not in records.local_parts for name in candidates(address.local_part))


def _step(address: Address, records: Records, rules: Rules) -> Step:
    domain = records.domains[address.domain]
    if not domain.is_local:
        return RelayDestination(str(address), next_hop(address.domain, domain.route))
    for name in candidates(address.local_part):
        record = records.local_parts[address.domain, name]
        if record.mailbox_enabled is not None:
            return _mailbox(name, address.domain) if record.mailbox_enabled else DeadEnd(address.key, DISABLED)
        if record.targets is not None:
            return Expansion(address.key, ExpansionKind.ALIAS, record.targets)
    if domain.catch_all is not None and not rules.aliases_only:
        return Expansion(address.key, ExpansionKind.CATCH_ALL, domain.catch_all)
    return _reserved(address, rules) or DeadEnd(address.key, NO_SUCH)


def _reserved(address: Address, rules: Rules) -> Step | None:
    """Take mail for reserved names that nobody has defined.

    Without a configured postmaster it is kept in the mailbox `postmaster` of the domain, although nobody can log in
    there: who adds that mailbox later finds what has arrived.
    """
    name = candidates(address.local_part)[-1]
    if name not in RESERVED or rules.aliases_only:
        return None
    if rules.postmaster is not None and rules.postmaster.key != address.key:
        return Expansion(address.key, ExpansionKind.POSTMASTER, (str(rules.postmaster),))
    if name == "postmaster":
        return _mailbox(name, address.domain)
    return Expansion(address.key, ExpansionKind.POSTMASTER, (str(Address("postmaster", address.domain)),))


def _mailbox(local_part: str, domain: str) -> MailboxDestination:
    return MailboxDestination(Address(local_part, domain).key, domain, local_part)
