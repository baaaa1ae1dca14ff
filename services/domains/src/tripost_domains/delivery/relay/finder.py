"""Which hosts a next hop means, in the order in which they are to be tried (RFC 5321 §5.1, RFC 7505)."""

import asyncio
import random
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tripost_domains.delivery.outcome import Outcome, deferred, failed
from tripost_domains.delivery.relay.host import Host, parse_address, parse_exchangers, parse_literal
from tripost_domains.delivery.relay.reach import Reach
from tripost_domains.directory.model import HopKind, NextHop
from tripost_shared.dns.port import DnsAnswer, Resolver, Status

MAX_EXCHANGERS: Final = 10  # MX hosts whose addresses are looked up
MAX_HOSTS: Final = 5  # addresses that one attempt tries, as Postfix does

_LOOPBACKS: Final = {"localhost": ("127.0.0.1", "::1")}  # RFC 6761 §6.3: never asked of the DNS


class NoHost(Exception):
    """There is no host to try; `outcome` says what that means."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome.reply))
        self.outcome = outcome


class HostFinder:
    """Finds the hosts of a next hop.

    `own_names` and `own_addresses` are ours: an MX list is cut off there. `reach` judges addresses that are no
    administrator's choice: those of MX hosts, and address literals.
    """

    def __init__(
        self,
        resolver: Resolver,
        own_names: Collection[str],
        own_addresses: Collection[IPv4Address | IPv6Address] = (),
        *,
        reach: Reach,
        mx_port: int = 25,
        dice: random.Random | None = None,
    ) -> None:
        self._resolver = resolver
        self._own_names = frozenset(name.lower() for name in own_names)
        self._own_addresses = frozenset(own_addresses)
        self._reach = reach
        self._mx_port = mx_port
        self._dice = dice or random.Random()  # noqa: S311 (spreads load, guards nothing)

    async def find(self, hop: NextHop) -> list[Host]:
        """Give up to MAX_HOSTS hosts; raises NoHost."""
        if hop.kind is HopKind.SMARTHOST:
            return await self._smarthost(hop)
        literal = parse_literal(hop.host)
        if literal is not None:
            return self._usable(hop.host, [(0, Host(hop.host, str(literal), self._mx_port))], [])
        exchangers = await self._exchangers(hop.host)
        preferences = {name: preference for preference, name in reversed(exchangers)}  # of equal names the best
        hosts, failures = await self._addresses(list(dict.fromkeys(name for _, name in exchangers)), self._mx_port)
        found = [(preferences[host.name], host) for host in hosts]
        if not found and not failures and exchangers == [(0, hop.host)]:
            raise NoHost(failed("5.1.2", f"The domain {hop.host} has no mail host"))
        return self._usable(hop.host, found, failures)

    async def _smarthost(self, hop: NextHop) -> list[Host]:
        """Find an administrator's choice; a mistake in it is mended sooner or later, so it never fails a message."""
        literal = parse_literal(hop.host)
        if literal is not None:
            return [Host(hop.host.strip("[]"), str(literal), hop.port)]
        found, failures = await self._addresses([hop.host], hop.port)
        if not found:
            because = failures[0] if failures else "no address"
            raise NoHost(deferred("4.4.3", f"No address of {hop.host} now", detail=because))
        return found[:MAX_HOSTS]

    async def _exchangers(self, domain: str) -> list[tuple[int, str]]:
        """Give preferences and names of the MX hosts, best first, equal ones in random order, cut off at our own."""
        answer = await self._resolver.resolve(domain, "MX")
        if answer.status is Status.FAILED:
            raise NoHost(deferred("4.4.3", f"No MX records of {domain} now", detail=answer.because))
        if answer.status is Status.NO_NAME:
            raise NoHost(failed("5.1.2", f"The domain {domain} does not exist"))
        if answer.status is Status.NO_DATA:
            return [(0, domain)]  # the implicit MX (RFC 5321 §5.1)
        records = parse_exchangers(answer.records)
        named = [(preference, host) for preference, host in records if host]
        if not named:
            raise NoHost(failed("5.1.10", f"The domain {domain} takes no mail"))  # RFC 7505 §3
        own = min((preference for preference, host in named if host in self._own_names), default=None)
        better = [(preference, host) for preference, host in named if own is None or preference < own]
        if not better:
            raise NoHost(failed("5.4.6", f"Mail for {domain} would loop: its best mail host is this one"))
        self._dice.shuffle(better)
        return sorted(better, key=lambda record: record[0])[:MAX_EXCHANGERS]

    async def _addresses(self, names: Sequence[str], port: int) -> tuple[list[Host], list[str]]:
        """Look all names up at once; gives their hosts in the order of the names, and what went wrong."""
        answers = await asyncio.gather(*(self._lookup(name) for name in names))
        hosts = [
            Host(name, address, port)
            for name, pair in zip(names, answers, strict=True)
            for answer in pair
            for address in answer.records
        ]
        failures = [
            f"{name}: {answer.because or 'no answer'}"
            for name, pair in zip(names, answers, strict=True)
            for answer in pair
            if answer.status is Status.FAILED
        ]
        return hosts, failures

    async def _lookup(self, name: str) -> tuple[DnsAnswer, ...]:
        if name in _LOOPBACKS:
            return (DnsAnswer(Status.FOUND, _LOOPBACKS[name]),)
        return tuple(await asyncio.gather(self._resolver.resolve(name, "A"), self._resolver.resolve(name, "AAAA")))

    def _usable(self, domain: str, found: Sequence[tuple[int, Host]], failures: Sequence[str]) -> list[Host]:
        """Leave out what is not better than our own address, and what we must not talk to; raises NoHost.

        `found` are hosts with their preferences; with `failures` there may be others, so that nothing is for good.
        """
        addresses = {host: parse_address(host.address) for _, host in found}
        own = min((preference for preference, host in found if addresses[host] in self._own_addresses), default=None)
        better = [host for preference, host in found if own is None or preference < own]
        usable = [host for host in better if self._reach.covers(addresses[host])]
        if usable:
            return usable[:MAX_HOSTS]
        if failures:
            raise NoHost(deferred("4.4.3", f"No address of the mail hosts of {domain} now", detail=failures[0]))
        if better:
            because = f"not globally reachable: {', '.join(host.address for host in better[:MAX_HOSTS])}"
            raise NoHost(failed("5.4.4", f"The mail hosts of {domain} have no usable address", detail=because))
        if found:
            raise NoHost(failed("5.4.6", f"Mail for {domain} would loop: its best mail host is this one"))
        raise NoHost(failed("5.4.4", f"The mail hosts of {domain} have no address"))
