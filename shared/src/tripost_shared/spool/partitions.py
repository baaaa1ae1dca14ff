"""SPOOL's streams: `SPOOL_<n>`, one a partition.

Publishers use as many as `TRIPOST_SPOOL_PARTITIONS` says, each by its own setting. Readers take from all that there
are: when the number is lowered, or not the same everywhere during a rolling change, no stream is left with mail in it.
"""

import re
from typing import Final

from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.spool import SPOOL_SUBJECT

_NAME: Final = re.compile(r"SPOOL_(0|[1-9][0-9]*)")


def stream_of(partition: int) -> str:
    """Name a partition's stream."""
    return f"SPOOL_{partition}"


def partition_of(stream: str) -> int | None:
    """Give the number of a partition's stream; None: it is no partition."""
    match = _NAME.fullmatch(stream)
    return int(match[1]) if match is not None else None


async def existing_streams(link: NatsLink) -> list[str]:
    """Name the partitions' streams that there are, by their numbers; raises as `jetstream.call` does."""
    answer = await jetstream.call(link, "STREAM.NAMES", {"subject": f"{SPOOL_SUBJECT}.*"})
    numbers = [partition_of(name) for name in answer.get("streams") or []]
    return [stream_of(number) for number in sorted(number for number in numbers if number is not None)]
