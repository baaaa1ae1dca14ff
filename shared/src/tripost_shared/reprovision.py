"""Streams and buckets that are made again when the connection to NATS is back.

A server that stands alone forgets its streams in memory (the shared counters) when it ends, and one that was set up
anew has none at all. Nobody else notices: to publish to a stream that is gone only fails.
"""

import asyncio

import structlog

from tripost_shared.bus.jetstream import JetStreamRefused
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.provision import DEFAULT_SIZES, Sizes, provision
from tripost_shared.settings import CommonSettings, SettingsError

log = structlog.get_logger()


class Reprovision:
    """Makes what is missing after each outage; call `close` before the link is closed."""

    def __init__(self, link: NatsLink, settings: CommonSettings, sizes: Sizes = DEFAULT_SIZES) -> None:
        self._link = link
        self._settings = settings
        self._sizes = sizes
        self._making: asyncio.Task[None] | None = None
        link.after_regaining(self._begin)

    async def close(self) -> None:
        """Make no more."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})

    def _begin(self) -> None:
        if self._making is not None:
            self._making.cancel()
        self._making = asyncio.get_running_loop().create_task(self._make())

    async def _make(self) -> None:
        try:
            await provision(self._link, self._settings, self._sizes)
        except (JetStreamRefused, SettingsError) as error:
            log.error("streams could not be made again", because=str(error))  # noqa: TRY400 (a trace tells no more)
        except Exception:  # an entrance: the service goes on without
            log.exception("streams could not be made again")
