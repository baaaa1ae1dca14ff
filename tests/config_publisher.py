"""Writes configuration as admin-api does, but whatever revision is in force."""

from typing import Final

import msgspec

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import PREFIX, WITHIN_SECONDS
from tripost_shared.config.port import ConfigUnavailable

PUT_TRIES: Final = 2


class KvConfigPublisher:
    """Writes configuration."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link

    async def put(self, key: str, snapshot: msgspec.Struct) -> None:
        """Replace the key's value; raises ConfigUnavailable."""
        payload = msgspec.json.encode(snapshot)
        for tries in range(PUT_TRIES):
            try:
                await jetstream.publish(self._link, PREFIX + key, payload, b"", WITHIN_SECONDS)
            except JetStreamRefused as error:
                raise ConfigUnavailable(str(error)) from error
            except JetStreamUnavailable as error:
                if tries + 1 == PUT_TRIES:
                    raise ConfigUnavailable(str(error)) from error
                await self._link.wait_connected(WITHIN_SECONDS)
            else:
                return
