"""Content read whole, for tests."""

from tripost_shared.content.port import ContentStore
from tripost_shared.mail.content import Content


async def read_all(store: ContentStore, content: Content) -> bytes:
    """Give all octets at once; raises as iterating does."""
    return b"".join([chunk async for chunk in store.open(content)])
