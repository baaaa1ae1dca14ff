"""Brings the hits of access rules together, over all workers and replicas."""

import asyncio
from typing import Final

import structlog

from tripost_edge.limits.rule_hits import RuleHits, RuleKey
from tripost_edge.ports import CountersUnavailable, Totals
from tripost_shared.contracts.access import HITS, hits_key

log = structlog.get_logger()

EVERY_SECONDS: Final = 1.0


class ToldHits:
    """Adds what was counted here to the totals of all. What could not be told is told later, once or, rarely, twice."""

    def __init__(self, hits: RuleHits, totals: Totals) -> None:
        self._hits = hits
        self._totals = totals
        self._is_failing = False

    async def run(self) -> None:
        """Tell now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.tell()

    async def tell(self) -> None:
        """Tell what was counted since it was last told; says in the log that this fails, once."""
        counted = self._hits.take()
        if not counted:
            return
        try:
            await self._totals.add_all(HITS, {hits_key(*key): hits for key, hits in counted.items()})
        except CountersUnavailable as error:
            self._keep(counted, str(error))
        except Exception as error:  # an entrance: what comes later must be told
            log.exception("hits of access rules cannot be told")
            self._keep(counted, repr(error))
        else:
            self._is_failing = False

    def _keep(self, counted: dict[RuleKey, int], because: str) -> None:
        self._hits.put_back(counted)
        if not self._is_failing:
            log.warning("hits of access rules cannot be told now", because=because)
        self._is_failing = True
