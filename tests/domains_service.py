"""The domains service in the test's own process, with a real nats-server and a real database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servers import NatsServer
from tripost_domains.app import DomainsService
from tripost_shared.settings import CommonSettings


def built(
    nats: NatsServer, url: str, home: Path, monkeypatch: pytest.MonkeyPatch, dns_servers: Sequence[str] = ()
) -> DomainsService:
    monkeypatch.setenv("TRIPOST_DATABASE_URL", url)
    monkeypatch.setenv("TRIPOST_DOMAINS_HEALTH_LISTEN", "")
    service = DomainsService(
        CommonSettings(nats_url=nats.url, home=home, hostname="mx.dest.example", dns_servers=list(dns_servers))
    )
    service.bind()
    return service


@asynccontextmanager
async def running(service: DomainsService) -> AsyncIterator[DomainsService]:
    try:
        async with asyncio.timeout(30):
            await service.start()
        yield service
        async with asyncio.timeout(20):
            await service.drain()
    finally:
        await service.stop()
