"""Links to a test's nats-server on which all streams and buckets are there, and empty."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.provision import Sizes, provision, streams
from tripost_shared.settings import CommonSettings

PARTITIONS: Final = 2
SMALL: Final = Sizes(
    spool_partition=64 << 20,
    content=256 << 20,
    events=64 << 20,
    greylist=16 << 20,
    unreadable=16 << 20,
    counters=4 << 20,
    bans=4 << 20,
)


def settings_for(server: NatsServer) -> CommonSettings:
    """Give settings that lead to this server, with two SPOOL partitions."""
    return CommonSettings(nats_url=server.url, spool_partitions=PARTITIONS)


@asynccontextmanager
async def provisioned_link(server: NatsServer, sizes: Sizes = SMALL) -> AsyncIterator[NatsLink]:
    """Connect and provision; at the end all streams are deleted."""
    settings = settings_for(server)
    link = await NatsLink.connect(settings, "test")
    try:
        await provision(link, settings, sizes)
        yield link
        for stream in streams(PARTITIONS, sizes):
            with suppress(JetStreamRefused):  # those in memory are gone where the server was ended
                await jetstream.call(link, f"STREAM.DELETE.{stream['name']}")
    finally:
        await link.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, 15 s at most."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)
