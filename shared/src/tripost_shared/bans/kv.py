"""Bans in the KV bucket BANS (NATS ADR-8): JSON values, each key with a life time of its own.

What is published on `$KV.BANS.>` is heard before it is stored; so it is in force at once, and a reading of the whole
bucket now and then mends what was heard and not stored, or stored and not heard.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
import structlog

from tripost_shared.bans.port import BansUnavailable
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import Clock
from tripost_shared.contracts.bans import BANS_BUCKET, MOST_BANS, Ban, ban_key, banned_network
from tripost_shared.kv.jetstream import is_deleted, stream_of_bucket

log = structlog.get_logger()

STREAM: Final = stream_of_bucket(BANS_BUCKET)
PREFIX: Final = f"$KV.{BANS_BUCKET}."
WITHIN_SECONDS: Final = 2.0


class KvBans:
    """The bans of the cluster."""

    def __init__(self, link: NatsLink, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._known: dict[str, tuple[bytes, Ban]] = {}  # as they were last read

    async def put(self, ban: Ban, keep_until: datetime) -> None:
        """Write a ban; the server forgets it by itself."""
        seconds = max(1, math.ceil((keep_until - self._clock.now()).total_seconds()))
        subject = PREFIX + ban_key(banned_network(ban.network))
        fields = jetstream.header({"Nats-TTL": str(seconds)})
        try:
            await jetstream.publish(self._link, subject, msgspec.json.encode(ban), fields, WITHIN_SECONDS)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise BansUnavailable(str(error)) from error

    async def all(self) -> list[Ban]:
        """Give all that is kept."""
        bans: list[Ban] = []
        known: dict[str, tuple[bytes, Ban]] = {}
        try:
            async for message in jetstream.scan(self._link, STREAM, f"{PREFIX}>"):
                if len(bans) >= MOST_BANS:
                    log.warning("there are more bans than are heeded", heeded=len(bans))
                    break
                octets, ban = self._known.get(message.subject, (b"", None))
                if octets != message.data:
                    ban = None if is_deleted(message) else _read(message.subject, message.data)
                if ban is not None:
                    known[message.subject] = (message.data, ban)
                    bans.append(ban)
        except JetStreamUnavailable as error:
            raise BansUnavailable(str(error)) from error
        self._known = known
        return bans

    async def find(self, network: str) -> Ban | None:
        """Give one, as the bucket's leader knows it."""
        subject = PREFIX + ban_key(banned_network(network))
        try:
            message = await jetstream.last_message(self._link, STREAM, subject)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            raise BansUnavailable(str(error)) from error
        return None if message is None or is_deleted(message) else _read(subject, message.data)

    def hear(self, changed: Callable[[Ban], None], lost: Callable[[], None]) -> None:
        """Hear what is written from now on; `lost` is called when the connection is back."""

        def take(message: Incoming) -> None:
            ban = _read(message.subject.decode(), message.data) if message.data else None
            if ban is None:  # deleted by hand, or what only a later release can read
                lost()
            else:
                changed(ban)

        self._link.subscribe(f"{PREFIX}>", take)
        self._link.after_regaining(lost)


def _read(subject: str, octets: bytes) -> Ban | None:
    """Read an entry; None for one that is none, or is of another network than its key."""
    try:
        ban = decode_json(octets, Ban)
        if PREFIX + ban_key(banned_network(ban.network)) != subject or None in {ban.since.tzinfo, ban.until.tzinfo}:
            raise ValueError("not of its key's network, or its times have no zone")
    except (msgspec.DecodeError, ValueError) as error:
        log.warning("ban left out: it cannot be read", key=subject, because=str(error))
        return None
    return ban
