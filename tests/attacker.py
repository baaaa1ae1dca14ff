"""A hostile SMTP client: it sends what it likes, in the pieces it likes, and tells exactly what came back."""

import select
import socket
import ssl
import struct
from contextlib import suppress
from types import TracebackType
from typing import Final

WITHIN_SECONDS: Final = 5.0
APART_SECONDS: Final = 0.004  # for the server to read one piece before the next one is sent

ANY_CERTIFICATE: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


class Attacker:
    """A connection to an SMTP server. All waits fail after a few seconds."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, WITHIN_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def __enter__(self) -> "Attacker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def say(self, *pieces: bytes) -> None:
        """Send octets, each piece in a packet of its own. Those that the server does not take any more are lost."""
        with suppress(BrokenPipeError, ConnectionResetError):
            for number, piece in enumerate(pieces):
                if number:
                    select.select([self.socket], [], [], APART_SECONDS)
                self.socket.sendall(piece)

    def reply(self) -> str:
        """Give the last line of the next reply, without CRLF; "" when the server has closed."""
        while True:
            line = self._line()
            if line[3:4] != b"-":
                return line.decode("ascii").removesuffix("\r\n")

    def rest(self) -> bytes:
        """Give what the server still says until it closes, or resets the connection."""
        heard, self._heard = self._heard, b""
        while octets := self._receive():
            heard += octets
        return heard

    def is_silent(self, seconds: float) -> bool:
        """Whether the server says nothing, and does not close, for that long."""
        return not self._heard and not select.select([self.socket], [], [], seconds)[0]

    def start_tls(self, context: ssl.SSLContext = ANY_CERTIFICATE) -> None:
        """Do the handshake; what is said from now on is encrypted."""
        assert not self._heard, f"octets before the handshake: {self._heard!r}"
        self.socket = context.wrap_socket(self.socket, server_hostname="mx.tripost.example")

    def half_close(self) -> None:
        """Send no more, and go on to listen; the server may have closed already."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off as a crash would (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _line(self) -> bytes:
        while b"\r\n" not in self._heard:
            octets = self._receive()
            if not octets:
                assert not self._heard, f"closed within a line: {self._heard!r}"
                return b""
            self._heard += octets
        line, _, self._heard = self._heard.partition(b"\r\n")
        return line

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65_536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""
