"""What passed within the last window's length, by the counts of two windows that follow each other. Pure.

A count that begins anew at each boundary would let twice the limit pass around it. So the window before counts with
the share of it that the last window's length still covers, as if what it counted had come evenly.
"""

from datetime import datetime

from tripost_shared.counters.port import window_at


def share_of_previous(now: datetime, window_seconds: int) -> float:
    """Give how much of the window before still counts: 1 at the boundary, then less and less."""
    return 1.0 - (now.timestamp() % window_seconds) / window_seconds


def estimate(current: int, previous: int, now: datetime, window_seconds: int) -> float:
    """Give about how many passed in the last `window_seconds`."""
    return current + previous * share_of_previous(now, window_seconds)


def seconds_until_below(limit: int, current: int, previous: int, now: datetime, window_seconds: int) -> int:
    """Tell after how many seconds one more passes (whole ones, rounded up), when nothing comes meanwhile; 0 is now."""
    into = now.timestamp() % window_seconds
    if estimate(current, previous, now, window_seconds) + 1 <= limit:
        return 0
    room = limit - 1 - current
    if room >= 0:  # the window before fades until it fits
        return _up(window_seconds * (1 - room / previous) - into)
    # then this window is the one before, and fades itself; a limit of 0 never lets one pass
    faded = max(0.0, 1 - (limit - 1) / current) if limit else 1.0
    return _up(window_seconds - into + window_seconds * faded)


def window_end(now: datetime, window_seconds: int) -> float:
    """Give the time (seconds since 1970) at which this window ends."""
    return float((window_at(now, window_seconds) + 1) * window_seconds)


def _up(seconds: float) -> int:
    return max(1, int(-(-seconds // 1)))
