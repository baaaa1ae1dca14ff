"""aiosmtpd as it comes: `python -m bench.edge.stock_aiosmtpd PORT CERTIFICATE KEY` until SIGTERM."""

import signal
import ssl
import sys

from aiosmtpd.controller import Controller


class NullHandler:
    """Takes every message and forgets it."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take a message."""
        return "250 OK"


def main(port: str, certificate: str, key: str) -> None:
    """Serve until told to end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    controller = Controller(NullHandler(), hostname="127.0.0.1", port=int(port), tls_context=context)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    controller.start()
    signal.sigwait({signal.SIGTERM})
    controller.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
