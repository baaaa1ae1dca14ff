"""The listeners that rules may be about, and the proxies before them."""

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_shared.access.warnings import KnownListener
from tripost_shared.contracts.listeners import BUILT_IN, LISTENERS_KEY, ListenersConfig, TlsMode
from tripost_shared.database.models import ConfigDocument


async def known_listeners(session: AsyncSession) -> tuple[KnownListener, ...]:
    """Give all listeners that there are, built in and configured, whether they are open or not."""
    config = await _config(session)
    listeners = dict(BUILT_IN) | {listener.name: listener for listener in config.listeners}
    return tuple(KnownListener(name, listener.tls is TlsMode.IMPLICIT) for name, listener in listeners.items())


async def trusted_proxies(session: AsyncSession) -> tuple[str, ...]:
    """Give the networks of the proxies that listeners are configured to believe; those of a setting are edge's own."""
    return tuple(network for listener in (await _config(session)).listeners for network in listener.proxies)


async def _config(session: AsyncSession) -> ListenersConfig:
    row = await session.get(ConfigDocument, LISTENERS_KEY)
    return msgspec.convert({} if row is None else row.body, ListenersConfig)
