"""The TLS of a scripted next hop: handshakes that fail, in the ways that asyncio's streams would not let them."""

import asyncio
import contextlib
import ssl

import trustme


def server_context(certificate: trustme.LeafCert | None) -> ssl.SSLContext | None:
    """Give the context of a hop that shows this certificate; without one it offers no TLS."""
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def break_handshake(writer: asyncio.StreamWriter) -> None:
    """Answer the client's hello with a fatal alert: handshake_failure."""
    writer.write(b"\x15\x03\x01\x00\x02\x02\x28")
    with contextlib.suppress(ConnectionError):
        await writer.drain()


async def refuse_without_certificate(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    """Do the handshake until the client shows no certificate, and tell it so."""
    context.verify_mode = ssl.CERT_REQUIRED
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    layer = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            layer.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
        except ssl.SSLError:
            writer.write(outgoing.read())
            await writer.drain()
            return
