"""The listeners that rules may be about."""

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_shared.access.warnings import KnownListener
from tripost_shared.contracts.listeners import BUILT_IN, LISTENERS_KEY, ListenersConfig, TlsMode
from tripost_shared.database.models import ConfigDocument


async def known_listeners(session: AsyncSession) -> tuple[KnownListener, ...]:
    """Give all listeners that there are, built in and configured, whether they are open or not."""
    row = await session.get(ConfigDocument, LISTENERS_KEY)
    config = msgspec.convert({} if row is None else row.body, ListenersConfig)
    listeners = dict(BUILT_IN) | {listener.name: listener for listener in config.listeners}
    return tuple(KnownListener(name, listener.tls is TlsMode.IMPLICIT) for name, listener in listeners.items())
