"""The listeners that rules may be about, and the proxies before them."""

from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.configuration import documents
from tripost_shared.access.warnings import KnownListener
from tripost_shared.contracts.listeners import BUILT_IN, TlsMode


async def known_listeners(session: AsyncSession) -> tuple[KnownListener, ...]:
    """Give all listeners that there are, built in and configured, whether they are open or not."""
    config = await documents.read_listeners(session)
    listeners = dict(BUILT_IN) | {listener.name: listener for listener in config.listeners}
    return tuple(KnownListener(name, listener.tls is TlsMode.IMPLICIT) for name, listener in listeners.items())


async def trusted_proxies(session: AsyncSession) -> tuple[str, ...]:
    """Give the networks of the proxies that listeners are configured to believe; those of a setting are edge's own."""
    config = await documents.read_listeners(session)
    return tuple(network for listener in config.listeners for network in listener.proxies)
