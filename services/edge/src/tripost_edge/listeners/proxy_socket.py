"""Reads a PROXY header off a socket, and nothing behind it: what follows is a TLS handshake."""

import asyncio
import socket

from tripost_edge.listeners.proxy_protocol import Announcement, read_header

MOST_AT_ONCE = 4096


async def read_header_of(connection: socket.socket) -> Announcement:
    """Wait for the header and take it. Raises MalformedHeader, OSError; the caller sets a deadline."""
    taken = b""
    while True:
        await _readable(connection)
        try:
            seen = connection.recv(MOST_AT_ONCE, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not seen:
            raise ConnectionAbortedError("connection closed before a PROXY header")
        announced = read_header(taken + seen)
        if announced is not None:
            connection.recv(announced.octets - len(taken))
            return announced
        taken += connection.recv(len(seen))  # all of it is header: it is not complete


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    arrival: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not arrival.done():
            arrival.set_result(None)

    loop.add_reader(connection, note)
    try:
        await arrival
    finally:
        loop.remove_reader(connection)
