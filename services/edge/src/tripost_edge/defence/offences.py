"""Automatic bans: offences are counted over all replicas by the client's network, and too many are a ban.

Counting costs a session nothing: what comes is gathered, and goes out to the shared counters in rounds.
"""

import asyncio
from collections import Counter
from typing import Final, NamedTuple

import structlog

from tripost_edge import metrics
from tripost_edge.defence.bans import BansInForce
from tripost_edge.firewall.bans import one_clients_network
from tripost_edge.firewall.offences import Offence, epoch, next_ban, trigger_of
from tripost_edge.ports import Clock, Counters, CountersUnavailable
from tripost_edge.session.session import Session
from tripost_shared.contracts.bans import BansPolicy
from tripost_shared.counters.port import count_at
from tripost_shared.counters.sliding import estimate

log = structlog.get_logger()

MOST_WAITING: Final = 10_000  # to be counted, of network and offence; beyond that it is an attack of thousands
IN_ONE_ROUND: Final = 500


class _Offender(NamedTuple):
    network: str
    offence: Offence


class Offences:
    """Counts offences, and bans. `policy` may be replaced at any time."""

    def __init__(self, counters: Counters, bans: BansInForce, clock: Clock, node: str) -> None:
        self.policy = BansPolicy()
        self._counters = counters
        self._bans = bans
        self._clock = clock
        self._node = node
        self._waiting: Counter[_Offender] = Counter()
        self._counting: asyncio.Task[None] | None = None

    def note(self, session: Session, offence: Offence) -> None:
        """Count an offence of a session's client, if it is one who may be banned for it, and is not yet."""
        if trigger_of(self.policy, offence) is None or self._is_out_of_reach(session):
            return
        offender = _Offender(one_clients_network(session.client.address), offence)
        if len(self._waiting) >= MOST_WAITING and offender not in self._waiting:
            return
        self._waiting[offender] += 1
        if self._counting is None or self._counting.done():
            self._counting = asyncio.get_running_loop().create_task(self._count_all())

    def _is_out_of_reach(self, session: Session) -> bool:
        client = session.client
        if not client.address or client.login or self._bans.exempts(session) or self._bans.table.is_full:
            return True
        return self._bans.table.holding(client.address, self._clock.now()) is not None

    async def settle(self) -> None:
        """Return once all that was noted is counted."""
        while self._counting is not None and not self._counting.done():
            await asyncio.wait([self._counting])

    def stop(self) -> None:
        """Count no more."""
        if self._counting is not None:
            self._counting.cancel()

    async def _count_all(self) -> None:
        while self._waiting:
            offenders = dict(list(self._waiting.items())[:IN_ONE_ROUND])
            for offender in offenders:
                del self._waiting[offender]
            try:
                await self._count(offenders)
            except CountersUnavailable as error:
                log.warning("offences not counted", networks=len(offenders), because=str(error))
            except Exception:  # an entrance: later ones must be counted
                log.exception("offences not counted", networks=len(offenders))

    async def _count(self, offenders: dict[_Offender, int]) -> None:
        now = self._clock.now()
        counted = [
            (offender, trigger, count_at(now, _kind(offender.offence), self._key(offender), trigger.window_seconds))
            for offender in offenders
            if (trigger := trigger_of(self.policy, offender.offence)) is not None
        ]
        totals = await self._counters.add_all([(count, offenders[offender]) for offender, _, count in counted])
        before = await self._counters.read_all([count.before for _, _, count in counted])
        for (offender, trigger, _), total, previous in zip(counted, totals, before, strict=True):
            if estimate(total, previous, now, trigger.window_seconds) >= trigger.threshold:
                await self._ban(offender)

    def _key(self, offender: _Offender) -> str:
        return offender.network + epoch(self._bans.table.entry(offender.network))

    async def _ban(self, offender: _Offender) -> None:
        former = self._bans.table.entry(offender.network)
        now = self._clock.now()
        if former is not None and former.holds_at(now):
            return
        ban, keep_until = next_ban(self.policy, offender.offence, offender.network, former, now, self._node)
        await self._bans.put(ban, keep_until)
        metrics.bans_made[offender.offence.value].inc()
        log.warning(
            "client banned",
            network=ban.network,
            reason=ban.reason,
            until=ban.until.isoformat(timespec="seconds"),
            offences=ban.offences,
        )


def _kind(offence: Offence) -> str:
    return f"ban-{offence.value.replace('_', '-')}"
