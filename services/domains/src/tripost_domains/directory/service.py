"""The directory as the service uses it: decisions over records that are read once and remembered for a while."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog

from tripost_domains.directory.cache import CacheLimits, RecordCache, Trust
from tripost_domains.directory.model import (
    DomainRecord,
    Expansion,
    ExpansionKind,
    LocalPartRecord,
    Resolution,
    SenderRecord,
)
from tripost_domains.directory.resolution import Records, Rules, names_of, resolve
from tripost_domains.ports import DirectoryRecords, DirectoryUnavailable, Loaded
from tripost_shared.clock import Clock
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.mail.address import Address, InvalidAddress, folded, parse_path
from tripost_shared.mail.failures import TransientFailure
from tripost_shared.mail.lookup import RESERVED, candidates

log = structlog.get_logger()

TOGETHER: Final = 100  # recipients; each may lead to a thousand addresses
READ_WITHIN: Final = timedelta(seconds=1.8)  # the asker tries another replica after 2 s
# What is taken at our own host name: the reserved names, and the author of our bounces (`bounce/dsn.py`).
AT_OUR_NAME: Final = RESERVED | {"mailer-daemon"}
NOBODYS: Final = frozenset({RecipientKind.FOREIGN, RecipientKind.UNKNOWN})

Result = TypeVar("Result")


class Directory:
    """Resolves recipients and knows senders; equal questions at one time read the database once.

    `postmaster` is the address that gets what comes for the reserved names; `hostname` is ours, in DSNs and greetings.

    While the database is away, answers come from what is remembered, also if a little old; what is not remembered is a
    TransientFailure.
    """

    def __init__(
        self,
        records: DirectoryRecords,
        clock: Clock,
        limits: CacheLimits | None = None,
        postmaster: str = "",
        hostname: str = "",
    ) -> None:
        limits = limits or CacheLimits()
        self._records = records
        self._hostname = hostname.lower()
        self._postmaster = Address.parse(postmaster) if postmaster else None
        self._rules = Rules(postmaster=self._postmaster)
        self._domains: RecordCache[str, DomainRecord] = RecordCache(clock, limits, lambda record: record.is_local)
        self._local_parts: RecordCache[tuple[str, str], LocalPartRecord] = RecordCache(
            clock, limits, lambda record: record.takes_mail
        )
        # A right that a change may have withdrawn is not given: so no record of a sender outlives a change.
        self._senders: RecordCache[tuple[str, str], SenderRecord] = RecordCache(clock, limits, lambda _record: False)
        self._loads: dict[Hashable, asyncio.Task[Any]] = {}

    def forget(self) -> None:
        """Note that domains, mailboxes, aliases, grants or routes have changed."""
        for cache in (self._domains, self._local_parts, self._senders):
            cache.expire()

    async def resolve_all(self, recipients: Sequence[str], *, afresh: bool = False) -> list[Resolution]:
        """Say where each recipient's address (as given at RCPT) leads; raises TransientFailure.

        What they need is read together. `afresh`: as the database has it from now on, nothing being remembered.
        """
        found: list[Resolution] = []
        for start in range(0, len(recipients), TOGETHER):
            if start:
                await asyncio.sleep(0)  # an alias for hundreds takes milliseconds, also from memory
            found += await self._resolve_some(recipients[start : start + TOGETHER], afresh=afresh)
        return found

    async def resolve_aliases(self, address: Address) -> Resolution:
        """As `resolve_all`, but without catch-alls and reserved names, and never from before a change.

        For rights to send. Raises TransientFailure.
        """
        (resolution,) = await self._walk([address], Rules(aliases_only=True), afresh=False, at_need=Trust.UNCHANGED)
        return resolution

    async def names(self, address: Address) -> tuple[str, ...]:
        """Give the keys that an address goes by, as `names_of`, for rights to send; raises TransientFailure."""
        looked_for = candidates(address.local_part)
        records = Records()
        if len(looked_for) > 1:
            wanted = {address.domain: frozenset(looked_for)}
            await self._fill(records, wanted, afresh=False, at_need=Trust.UNCHANGED)
        return names_of(address, records)

    async def sender(self, mailbox: Address) -> SenderRecord | None:
        """Give what a mailbox may send as besides its own address; None: no such mailbox. Raises TransientFailure."""
        key = (mailbox.domain, folded(mailbox.local_part))
        known = self._senders.fresh(key)
        if known is not None:
            return known
        generation = self._senders.generation
        try:
            record = await self._once(
                ("sender", generation, key), lambda: self._records.load_sender(mailbox.domain, key[1])
            )
        except DirectoryUnavailable as failure:
            known = self._senders.stale(key)
            if known is None:
                raise TransientFailure(because=f"directory: {failure}") from failure
            return known
        if record is not None:
            self._senders.put(key, record, generation)
        return record

    async def _resolve_some(self, recipients: Sequence[str], *, afresh: bool) -> list[Resolution]:
        parsed = [_parsed(recipient) for recipient in recipients]
        addresses = [each for each in parsed if isinstance(each, Address) and each.domain]
        walked = dict(zip(addresses, await self._walk(addresses, self._rules, afresh=afresh), strict=True))
        found: list[Resolution] = []
        for each in parsed:
            if isinstance(each, Resolution):
                found.append(each)
            elif not each.domain or (walked[each].kind in NOBODYS and self._is_at_our_name(each)):
                found.append(await self._resolve_ours(each, afresh=afresh))
            else:
                found.append(walked[each])
        return found

    def _is_at_our_name(self, address: Address) -> bool:
        return address.domain == self._hostname and candidates(address.local_part)[-1] in AT_OUR_NAME

    async def _resolve_ours(self, address: Address, *, afresh: bool) -> Resolution:
        """Say where mail for us as a host leads: to our postmaster, and taken from anyone, wherever that is."""
        postmaster = await self._postmaster_of_ours()
        if postmaster is None:
            return Resolution(RecipientKind.UNKNOWN, because="there is no domain whose postmaster it could be")
        (resolution,) = await self._walk([postmaster], self._rules, afresh=afresh)
        if not resolution.destinations:
            return resolution
        led = Expansion(address.key, ExpansionKind.POSTMASTER, (str(postmaster),))
        return dataclasses.replace(resolution, kind=RecipientKind.LOCAL, expansions=(led, *resolution.expansions))

    async def _postmaster_of_ours(self) -> Address | None:
        """Say who the postmaster of this host is (RFC 5321 §4.5.1): if none is set, the oldest domain's."""
        if self._postmaster is not None:
            return self._postmaster
        try:
            domain = await self._once(("first domain", self._domains.generation), self._records.first_domain)
        except DirectoryUnavailable as failure:
            raise TransientFailure(because=f"directory: {failure}") from failure
        return Address("postmaster", domain) if domain else None

    async def _walk(
        self, addresses: Sequence[Address], rules: Rules, *, afresh: bool, at_need: Trust = Trust.STALE
    ) -> list[Resolution]:
        """Say where each leads; all of them together need one reading per level of their aliases."""
        records = Records()
        found: dict[Address, Resolution] = {}
        while True:
            wanted: dict[str, frozenset[str]] = {}
            for address in addresses:
                outcome = found.get(address) or resolve(address, records, rules)
                if isinstance(outcome, Resolution):
                    found[address] = outcome
                    continue
                for domain, local_parts in outcome.local_parts.items():
                    wanted[domain] = wanted.get(domain, frozenset()) | local_parts
            if not wanted:
                return [found[address] for address in addresses]
            await self._fill(records, wanted, afresh=afresh, at_need=at_need)

    async def _fill(
        self, records: Records, wanted: Mapping[str, frozenset[str]], *, afresh: bool, at_need: Trust
    ) -> None:
        """Fill in what is wanted, from memory or by reading; `at_need`: while the database is away.

        Raises TransientFailure.
        """
        unknown = {
            domain: local_parts
            for domain, local_parts in wanted.items()
            if afresh or not self._remembered(records, domain, local_parts, Trust.FRESH)
        }
        if not unknown:
            return
        generation = self._domains.generation
        under_way = object() if afresh else frozenset(unknown.items())  # what has begun may be too old already
        try:
            loaded = await self._once((generation, under_way), lambda: self._records.load(unknown))
        except DirectoryUnavailable as failure:
            for domain, local_parts in unknown.items():
                if afresh or not self._remembered(records, domain, local_parts, at_need):
                    raise TransientFailure(because=f"directory: {failure}") from failure
            log.debug("directory answers from memory", domains=len(unknown), because=str(failure))
            return
        for domain, local_parts in unknown.items():
            self._take(records, domain, local_parts, loaded[domain], generation)

    def _take(
        self, records: Records, domain: str, local_parts: frozenset[str], loaded: Loaded, generation: int
    ) -> None:
        """Fill in what was read, and remember it."""
        record, found = loaded
        records.domains[domain] = record
        self._domains.put(domain, record, generation)
        if record.is_local:
            for name in local_parts:
                part = found.get(name, LocalPartRecord())
                records.local_parts[domain, name] = part
                self._local_parts.put((domain, name), part, generation)

    def _remembered(self, records: Records, domain: str, local_parts: frozenset[str], trust: Trust) -> bool:
        """Fill in from memory; tells whether all was there."""
        record = self._domains.recall(domain, trust)
        if record is None:
            return False
        records.domains[domain] = record
        if not record.is_local:
            return True
        for name in local_parts:
            part = self._local_parts.recall((domain, name), trust)
            if part is None:
                return False
            records.local_parts[domain, name] = part
        return True

    async def _once(self, key: Hashable, load: Callable[[], Awaitable[Result]]) -> Result:
        """Join a load of the same that is under way, or begin it; a joiner that gives up does not end it."""
        task = self._loads.get(key)
        if task is None:
            task = asyncio.create_task(_within_deadline(load))
            self._loads[key] = task
            task.add_done_callback(lambda ended: self._load_ended(key, ended))
        result: Result = await asyncio.shield(task)
        return result

    def _load_ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._loads[key]
        if not task.cancelled():
            task.exception()  # seen, also when every joiner has given up


def _parsed(recipient: str) -> Address | Resolution:
    """Give the address (without a domain: postmaster's), or the answer for what is none."""
    try:
        address = parse_path(recipient)
    except InvalidAddress as error:
        return Resolution(RecipientKind.UNKNOWN, because=f"no mail address: {error}")
    return address or Resolution(RecipientKind.UNKNOWN, because="no mail address: empty")


async def _within_deadline(load: Callable[[], Awaitable[Result]]) -> Result:
    try:
        async with asyncio.timeout(READ_WITHIN.total_seconds()):
            return await load()
    except TimeoutError as error:
        raise DirectoryUnavailable("the database did not answer in time") from error
