"""The link that tests of the real adapters share."""

from collections.abc import AsyncIterator

import pytest

from links import provisioned_link
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[NatsLink]:
    """A link to a server on which all is provisioned and empty."""
    async with provisioned_link(nats_server) as link:
        yield link
