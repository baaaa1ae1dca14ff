"""Greylisting (RFC 6647): the first sight of a client network, reverse-path and recipient together is deferred."""

import hashlib
from collections import OrderedDict
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

import msgspec
import structlog

from tripost_filter.check import MustWait, Stage
from tripost_filter.exemptions import Exemptions, address_of
from tripost_filter.mail import Mail
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.clock import Clock
from tripost_shared.contracts.config import GreylistPolicy
from tripost_shared.contracts.filter import Finding
from tripost_shared.kv.port import Bucket, BucketUnavailable, Conflict, Entry
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

COME_BACK_LATER: Final = SmtpReply(451, "4.7.1", "Greylisted, please try again later")
PREFIX_LENGTHS: Final = {4: 24, 6: 64}  # large senders retry from a neighbour
RENEW_AFTER_SECONDS: Final = 86_400  # a triplet in use is written once a day at most …
RENEW_AFTER_SHARE: Final = 0.5  # … or once in so much of the time for which it is remembered, if that is less
IN_MEMORY_SHARE: Final = 0.25  # and it is out of memory early enough to be renewed before the bucket forgets it


class Triplet(msgspec.Struct, frozen=True, array_like=True):
    """What the bucket holds of a triplet: when it was first seen or last renewed (seconds since 1970)."""

    passed: bool
    since: int


class KnownTriplets:
    """Triplets that passed a short while ago, so that a busy pair of hosts does not ask the bucket for each message."""

    def __init__(self, clock: Clock, capacity: int = 50_000, keep: timedelta = timedelta(minutes=5)) -> None:
        self._clock = clock
        self._capacity = capacity
        self._keep_seconds = keep.total_seconds()
        self._until: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        until = self._until.get(key)
        return until is not None and self._clock.monotonic() < until

    def add(self, key: str, at_most_seconds: float) -> None:
        """Remember a triplet for a while, forgetting the oldest one when there are too many."""
        self._until[key] = self._clock.monotonic() + min(self._keep_seconds, at_most_seconds)
        self._until.move_to_end(key)
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)


class Greylist:
    """Defer the first attempt; take the retry that comes after the delay, and then whatever the triplet sends.

    Stage: recipient. Results: "new" and "early" (deferred; evidence `wait_seconds`), "passed" (the retry), "known".
    Trusted and exempt clients are not examined. Without the bucket the finding is "unavailable", and degraded.
    """

    name = "greylist"
    stages = frozenset({Stage.RECIPIENT})

    def __init__(
        self, policy: GreylistPolicy, exemptions: Exemptions, triplets: Bucket, known: KnownTriplets, clock: Clock
    ) -> None:
        self._policy = policy
        self._exemptions = exemptions
        self._triplets = triplets
        self._known = known
        self._clock = clock

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """Answer for exempt clients and for triplets that passed lately; raises MustWait for all others."""
        if not self._applies(mail):
            return None
        if self._key(mail) in self._known:
            return Finding(self.name, "known")
        raise MustWait("triplet not in memory")

    async def examine(self, mail: Mail) -> Finding | None:
        """Look the triplet up and move it on."""
        if not self._applies(mail):
            return None
        try:
            return await self._look_up(self._key(mail))
        except BucketUnavailable as error:
            return Finding(self.name, "unavailable", because=str(error), degraded=True)

    async def _look_up(self, key: str) -> Finding:
        entry = await self._triplets.get(key)
        if entry is None:
            entry = await self._note_first_sight(key)
            if entry is None:
                return self._deferred("new", self._policy.delay_seconds)
        try:
            triplet = decode(entry.value, Triplet)
        except msgspec.DecodeError as error:
            log.warning("triplet cannot be read, it begins anew", key=key, because=str(error))
            await self._begin_anew(key, entry)
            return self._deferred("new", self._policy.delay_seconds)
        return await self._judge(key, entry, triplet)

    def _applies(self, mail: Mail) -> bool:
        return self._policy.enabled and mail.reverse_path is not None and not self._exemptions.cover(mail.client)

    async def _note_first_sight(self, key: str) -> Entry | None:
        """Write a waiting triplet; give the entry instead if another replica was quicker."""
        try:
            await self._triplets.create(key, self._waiting(), timedelta(seconds=self._policy.retry_window_seconds))
        except Conflict:
            return await self._triplets.get(key)
        return None

    async def _begin_anew(self, key: str, entry: Entry) -> None:
        """Write a waiting triplet over an entry."""
        window = timedelta(seconds=self._policy.retry_window_seconds)
        try:
            await self._triplets.update(key, self._waiting(), entry.revision, window)
        except Conflict:
            return  # another replica has just done it

    def _waiting(self) -> bytes:
        return encode(Triplet(passed=False, since=self._now()))

    async def _judge(self, key: str, entry: Entry, triplet: Triplet) -> Finding:
        age = self._now() - triplet.since
        if not triplet.passed and age < self._policy.delay_seconds:
            return self._deferred("early", self._policy.delay_seconds - age)
        remembered_seconds = self._policy.remember_seconds
        if not triplet.passed or age >= min(RENEW_AFTER_SECONDS, remembered_seconds * RENEW_AFTER_SHARE):
            await self._remember(key, entry)
        self._known.add(key, remembered_seconds * IN_MEMORY_SHARE)
        return Finding(self.name, "known" if triplet.passed else "passed", evidence={"age_seconds": str(age)})

    async def _remember(self, key: str, entry: Entry) -> None:
        value = encode(Triplet(passed=True, since=self._now()))
        try:
            await self._triplets.update(key, value, entry.revision, timedelta(seconds=self._policy.remember_seconds))
        except Conflict:
            return  # another replica has just written the same

    def _deferred(self, result: str, wait_seconds: int) -> Finding:
        evidence = {"wait_seconds": str(max(wait_seconds, 0))}
        return Finding(self.name, result, refuse_with=COME_BACK_LATER, evidence=evidence)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _key(self, mail: Mail) -> str:
        return triplet_key(address_of(mail.client), mail.reverse_path or "", mail.recipient)


def triplet_key(address: IPv4Address | IPv6Address | None, reverse_path: str, recipient: str) -> str:
    """Give the triplet's key in the bucket: a hash, so that the bucket names no correspondents."""
    network = network_of(address) if address is not None else ""
    facts = "\0".join((network, reverse_path.lower(), recipient.lower()))
    return hashlib.blake2b(facts.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@lru_cache(maxsize=4096)
def network_of(address: IPv4Address | IPv6Address) -> str:
    """Give the network that counts as one client: `192.0.2.0/24`, `2001:db8::/64`."""
    return str(ip_network((address, PREFIX_LENGTHS[address.version]), strict=False))
