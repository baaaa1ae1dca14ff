"""Runs the checks of a stage side by side, a deadline each; a check that breaks or is late is a finding.

No check outlasts the time that is left for the question.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import msgspec
import structlog

from tripost_filter.check import Check, MustWait, Stage
from tripost_filter.mail import Mail
from tripost_filter.metrics import CheckMetrics, Degradation, metrics_of
from tripost_filter.scoring import under_failure_policy
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentMissing, ContentUnavailable
from tripost_shared.contracts.config import CheckPolicy
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.header import printable

log = structlog.get_logger()

MAX_BECAUSE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class _Entry:
    stage: Stage
    check: Check
    policy: CheckPolicy
    metrics: CheckMetrics
    at_once: Callable[[Mail], Finding | None] | None  # of a QuickCheck


class Pipeline:
    """The enabled checks in the registry's order, each with its policy."""

    def __init__(self, checks: Iterable[tuple[Check, CheckPolicy]], degradation: Degradation, clock: Clock) -> None:
        self._degradation = degradation
        self._clock = clock
        self._by_stage: dict[Stage, list[_Entry]] = {stage: [] for stage in Stage}
        for check, policy in checks:
            for stage in check.stages:
                at_once = getattr(check, "examine_at_once", None)
                self._by_stage[stage].append(_Entry(stage, check, policy, metrics_of(check.name), at_once))

    async def run(self, stage: Stage, mail: Mail) -> tuple[Finding, ...]:
        """Give the findings of the stage's checks, in the registry's order; never raises for a check's sake."""
        return _made(await self._results(self._by_stage[stage], mail))

    async def run_both(
        self, first: Stage, second: Stage, mail: Mail
    ) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Give the findings of two stages whose checks do not wait for each other, as `run` does."""
        entries = self._by_stage[first]
        results = await self._results(entries + self._by_stage[second], mail)
        return _made(results[: len(entries)]), _made(results[len(entries) :])

    async def _results(self, entries: Sequence[_Entry], mail: Mail) -> Sequence[Finding | None]:
        """Let the checks examine the mail, side by side.

        What can be answered from memory is, in this task; a task each is made only for those that must wait.
        """
        findings: list[Finding | None] = [None] * len(entries)
        waiting: list[int] = []
        for place, entry in enumerate(entries):
            try:
                findings[place] = self._examined_at_once(entry, mail)
            except MustWait:
                waiting.append(place)
        if len(waiting) == 1:
            findings[waiting[0]] = await self._examined(entries[waiting[0]], mail)
        elif waiting:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._examined(entries[place], mail)) for place in waiting]
            for place, task in zip(waiting, tasks, strict=True):
                findings[place] = task.result()
        return findings

    def _examined_at_once(self, entry: _Entry, mail: Mail) -> Finding | None:
        if entry.at_once is None:
            raise MustWait
        started = perf_counter()
        try:
            finding = entry.at_once(mail)
        except MustWait:
            raise
        except Exception as error:
            finding = _broken(entry.check, error)
        return self._finished(entry, finding, started)

    async def _examined(self, entry: _Entry, mail: Mail) -> Finding | None:
        started = perf_counter()
        left_ms = (mail.examine_until - self._clock.monotonic()) * 1000
        budget_ms = max(0, min(entry.policy.time_budget_ms, left_ms))
        try:
            async with asyncio.timeout(budget_ms / 1000):
                finding = await entry.check.examine(mail)
        except TimeoutError:
            finding = Finding(entry.check.name, "timeout", because=f"no result in {budget_ms:.0f} ms", degraded=True)
        except Exception as error:
            finding = _broken(entry.check, error)
        return self._finished(entry, finding, started)

    def _finished(self, entry: _Entry, finding: Finding | None, started: float) -> Finding | None:
        seconds = perf_counter() - started
        entry.metrics.count(finding, seconds)
        if finding is None:
            return None
        self._degradation.count(finding)
        if finding.degraded:
            finding = under_failure_policy(finding, entry.policy)
        return msgspec.structs.replace(finding, elapsed_ms=round(seconds * 1000, 3), stage=entry.stage.value)


def _made(results: Sequence[Finding | None]) -> tuple[Finding, ...]:
    return tuple(finding for finding in results if finding is not None)


def _broken(check: Check, error: Exception) -> Finding:
    """Make what a check raised its finding; content that is away is no mistake of the check, and told by the judge."""
    if not isinstance(error, ContentMissing | ContentUnavailable):
        log.error("check failed", check=check.name, exc_info=error)
    because = printable(f"{type(error).__name__}: {error}")[:MAX_BECAUSE_CHARACTERS]
    return Finding(check.name, "error", because=because, degraded=True)
