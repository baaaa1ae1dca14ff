"""The octets of a message as it goes out: fields on top, then the content."""

from collections.abc import AsyncIterator

from tripost_shared.mail.top import LOOKED_AT_OCTETS, seam


def joined(top: bytes, content: bytes) -> bytes:
    """Put fields on top of content that is at hand as a whole; `top` may be empty."""
    return top + seam(content) + content if top else content


async def joined_in_pieces(top: bytes, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Put fields on top of content that comes in chunks; raises what reading them raises."""
    beginning = b""
    async for chunk in content:
        if not top:
            yield chunk
            continue
        beginning += chunk
        if len(beginning) >= LOOKED_AT_OCTETS:
            yield joined(top, beginning)
            top = beginning = b""
    if top:
        yield joined(top, beginning)
