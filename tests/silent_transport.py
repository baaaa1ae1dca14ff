"""A connection without a client: what a session writes goes nowhere, and its end is told to the session alone."""

import asyncio

from tripost_edge.listeners.smtp_session import SmtpSession


class SilentTransport(asyncio.Transport):
    """Takes everything, and closes as soon as it is asked to."""

    def __init__(self, session: SmtpSession) -> None:
        super().__init__({"peername": ("192.0.2.7", 40000)})
        self.session = session

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop it."""

    def can_write_eof(self) -> bool:
        """Say that no end of what we write can be told alone."""
        return False

    def close(self) -> None:
        """Tell the session in the event loop's next turn, as a real one does."""
        asyncio.get_running_loop().call_soon(self.session.connection_lost, None)

    def abort(self) -> None:
        """Close."""
        self.close()
