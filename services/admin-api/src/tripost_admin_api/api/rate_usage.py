"""How much of the rates is used up: of one key, or of those that are nearest to a limit."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field

from tripost_admin_api.api.models import Incoming, Outgoing
from tripost_admin_api.api.parts import Parts, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.configuration import documents
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.control.rates import MESSAGES, NOUNS, RECIPIENTS, Limit, Rates, rate_and_key, usage_key
from tripost_shared.counters.port import Count, Tally, count_at
from tripost_shared.counters.sliding import estimate, seconds_until_below

router = APIRouter(prefix="/rates/usage", tags=["rates"])

WINDOWS: Final = {60: "minute", 3600: "hour", 86_400: "day"}
Pair = tuple[int, int]  # the totals of this window, and of the one before


class UsageQuery(Incoming):
    """Whose use is asked for."""

    key: str = Field(
        "",
        max_length=400,
        description="`login:user@local.test`, `client:192.0.2.7` or `sender-domain:local.test`; empty: those that are "
        "nearest to a limit.",
    )
    limit: int = Field(20, ge=1, le=1000, description="Most items in the answer.")


class UsageOut(Outgoing):
    """What of one limit is used up now, over all edges."""

    rate: str
    key: str
    counts: str = Field(description="`messages` or `recipients`.")
    window: str = Field(description="`minute`, `hour` or `day`.")
    used: int = Field(description="About how many passed within the window's length.")
    limit: int
    used_share: float = Field(description="1 and more: the limit is reached.")
    frees_in_seconds: int = Field(description="When one more passes, if nothing comes meanwhile; 0: now.")


class UsagesOut(Outgoing):
    """Limits of rates and what is used of them."""

    items: list[UsageOut]


@router.get("")
async def show_usage(parts: PartsNeeded, query: Annotated[UsageQuery, Query()]) -> UsagesOut:
    """Show every limit that a key may meet, or the keys that are nearest to one."""
    async with parts.database.reading() as session:
        rates = Rates((await documents.read_control(session)).rates)
    now = parts.clock.now()
    try:
        found = await (_of_key(parts, rates, query.key, now) if query.key else _of_all(parts, rates, now))
    except ClusterUnavailable as error:
        raise Problem("unavailable", f"The counts cannot be read now: {error}.") from None
    shown = [_shown(limit, pair, now) for limit, pair in found]
    if not query.key:
        shown.sort(key=lambda usage: (-usage.used_share, usage.rate, usage.key))
    return UsagesOut(items=shown[: query.limit])


async def _of_key(parts: Parts, rates: Rates, key: str, now: datetime) -> Iterable[tuple[Limit, Pair]]:
    try:
        limits = rates.limits_of_key(usage_key(key))
    except ValueError as error:
        raise invalid("query.key", str(error)) from None
    counts = [_count(limit, now) for limit in limits]
    totals = await parts.cluster.counts([*counts, *(count.before for count in counts)])
    return [(limit, (totals[place], totals[place + len(limits)])) for place, limit in enumerate(limits)]


async def _of_all(parts: Parts, rates: Rates, now: datetime) -> Iterable[tuple[Limit, Pair]]:
    tallies = [*await parts.cluster.tallies(MESSAGES), *await parts.cluster.tallies(RECIPIENTS)]
    totals = {tally.of: tally.total for tally in tallies}
    limits = {limit for key in _keys(tallies) for limit in rates.limits_of_key(key)}
    paired = ((limit, _count(limit, now)) for limit in limits)
    pairs = ((limit, (totals.get(count, 0), totals.get(count.before, 0))) for limit, count in paired)
    return [(limit, pair) for limit, pair in pairs if any(pair)]


def _keys(tallies: Iterable[Tally]) -> set[str]:
    return {rate_and_key(tally.of.key)[1] for tally in tallies}


def _count(limit: Limit, now: datetime) -> Count:
    return count_at(now, limit.kind, limit.count_key, limit.window_seconds, limit.group)


def _shown(limit: Limit, pair: Pair, now: datetime) -> UsageOut:
    current, previous = max(0, pair[0]), max(0, pair[1])
    used = estimate(current, previous, now, limit.window_seconds)
    return UsageOut(
        rate=limit.rate,
        key=limit.key,
        counts=NOUNS[limit.kind],
        window=WINDOWS[limit.window_seconds],
        used=round(used),
        limit=limit.most,
        used_share=round(used / limit.most, 3) if limit.most else 1.0,
        frees_in_seconds=seconds_until_below(limit.most, current, previous, now, limit.window_seconds),
    )
