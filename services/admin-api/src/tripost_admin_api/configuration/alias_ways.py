"""Where an alias would lead, followed as domains does: none is made that leads to nobody, or back to itself."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_shared.database.models import Alias, Domain, Mailbox
from tripost_shared.mail.address import Address, folded
from tripost_shared.mail.lookup import MAX_ADDRESSES, MAX_DEPTH, RESERVED, candidates

CATCH_ALL = "*"


@dataclass(slots=True)
class _Held:
    """What domains of ours hold, as far as it was read; a domain that is not there is foreign."""

    mailboxes: dict[tuple[str, str], bool] = field(default_factory=dict)  # whether it is enabled
    aliases: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)


class AliasWays:
    """Follows the targets that an alias, in its stored form, is to have."""

    def __init__(self, session: AsyncSession, alias: str) -> None:
        self._session = session
        self._alias = alias
        start = Address.parse(alias)
        self._start = (start.domain, folded(start.local_part))
        self._seen: set[str] = set()
        self._takes_mail = False

    async def objection(self, targets: Iterable[str]) -> str:
        """Say why the alias must not lead there; "" when it may."""
        level, depth = self._unseen(targets), 0
        while level:
            depth += 1
            if depth > MAX_DEPTH:
                return f"leads through more than {MAX_DEPTH} aliases, one behind the other"
            if len(self._seen) >= MAX_ADDRESSES:
                return f"leads to more than {MAX_ADDRESSES} addresses"
            held = await self._read(level)
            following: list[str] = []
            for address in level:
                found = self._next(address, held)
                if found is None and depth == 1:
                    return f"{address} is neither a mailbox nor an alias of yours; add it first"
                if found is not None and self._alias in found:
                    return f"{address} leads back to {self._alias}"
                following += found or ()
            level = self._unseen(following)
        return "" if self._takes_mail else "every mailbox that it leads to is disabled"

    def _unseen(self, addresses: Iterable[str]) -> list[Address]:
        fresh = {address.key: address for address in map(Address.parse, addresses) if address.key not in self._seen}
        self._seen.update(fresh)
        return list(fresh.values())

    def _next(self, address: Address, held: _Held) -> list[str] | None:
        """Give where an address leads next, the alias itself when it leads back there; None: nobody has it."""
        if address.domain not in held.domains:
            self._takes_mail = True
            return []
        for name in (*candidates(address.local_part), CATCH_ALL):
            key = (address.domain, name)
            if key in held.mailboxes:
                self._takes_mail |= held.mailboxes[key]
                return []
            if key == self._start:
                return [self._alias]
            if key in held.aliases:
                return held.aliases[key]
        if candidates(address.local_part)[-1] in RESERVED:
            self._takes_mail = True
            return []
        return None

    async def _read(self, level: Iterable[Address]) -> _Held:
        wanted: dict[str, set[str]] = defaultdict(set)
        for address in level:
            wanted[address.domain].update((*candidates(address.local_part), CATCH_ALL))
        held = _Held()
        for domain in await self._session.scalars(select(Domain).where(Domain.name.in_(wanted))):
            held.domains.add(domain.name)
            names = wanted[domain.name]
            mailboxes = select(Mailbox).where(Mailbox.domain_id == domain.id, Mailbox.local_part.in_(names))
            for mailbox in await self._session.scalars(mailboxes):
                held.mailboxes[domain.name, mailbox.local_part] = mailbox.enabled
            aliases = select(Alias).where(Alias.domain_id == domain.id, Alias.local_part.in_(names))
            for alias in await self._session.scalars(aliases):
                held.aliases[domain.name, alias.local_part] = alias.targets
        return held
