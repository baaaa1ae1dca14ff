"""What tests of the real adapters share: links to servers, and resolvers."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from dns_server import DnsServer
from links import SMALL, provisioned_link, settings_for
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import FrozenClock
from tripost_shared.dns.resolver import CachingResolver
from tripost_shared.provision import provision


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[NatsLink]:
    """A link to a server on which all is provisioned and empty."""
    async with provisioned_link(nats_server) as link:
        yield link


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """A server of this test alone, which it may kill."""
    with NatsServer() as server:
        yield server


@pytest.fixture
async def own_link(own_server: NatsServer) -> AsyncIterator[NatsLink]:
    """A link to that server, on which all is provisioned."""
    link = await NatsLink.connect(settings_for(own_server), "test")
    await provision(link, settings_for(own_server), SMALL)
    yield link
    await link.close()


@pytest.fixture
async def resolver_of(clock: FrozenClock) -> AsyncIterator[Callable[..., CachingResolver]]:
    """Makes resolvers that ask these servers."""
    made: list[CachingResolver] = []

    def make(*servers: DnsServer | str) -> CachingResolver:
        made.append(CachingResolver([s if isinstance(s, str) else s.address for s in servers], clock))
        return made[-1]

    yield make
    for each in made:
        await each.close()
