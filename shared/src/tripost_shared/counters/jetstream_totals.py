"""Counts that are kept for good, in a stream on disk whose messages are counts (NATS ADR-49)."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.counters.port import CountersUnavailable
from tripost_shared.counters.totals import Total

TOTALS_STREAM: Final = "TOTALS"
TOTALS_SUBJECT: Final = "totals.v1"


class _Value(msgspec.Struct):
    val: str


class JetStreamTotals:
    """Counts that all replicas see, and that outlive them. Each addition is on disk when it is acknowledged."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link

    async def add_all(self, kind: str, amounts: Mapping[str, int]) -> None:
        """Add to counts, all on their way together."""
        additions = [self._add(f"{TOTALS_SUBJECT}.{kind}.{key}", amount) for key, amount in amounts.items()]
        try:
            await asyncio.gather(*additions)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise CountersUnavailable(str(error)) from error

    async def all(self, kind: str) -> dict[str, Total]:
        """Give all counts of a kind; one that nobody can read is left out."""
        totals: dict[str, Total] = {}
        prefix = f"{TOTALS_SUBJECT}.{kind}."
        try:
            async for message in jetstream.scan(self._link, TOTALS_STREAM, f"{prefix}>"):
                total = _read(message.data)
                if total is not None:
                    totals[message.subject.removeprefix(prefix)] = Total(total, message.stored_at)
        except JetStreamUnavailable as error:
            raise CountersUnavailable(str(error)) from error
        return totals

    async def _add(self, subject: str, amount: int) -> None:
        await jetstream.publish(self._link, subject, b"", jetstream.header({"Nats-Incr": f"{amount:+d}"}))


def _read(payload: bytes) -> int | None:
    try:
        return int(decode_json(payload, _Value).val)
    except (msgspec.DecodeError, ValueError):
        return None
