"""A renewed TLS certificate comes into force without a restart."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from tripost_shared.settings import SettingsError

log = structlog.get_logger()

LOOK_EVERY_SECONDS: Final = 60.0
STAYS: Final = "changed TLS certificate cannot be loaded: the one before stays"

Load = Callable[[Path, Path], ssl.SSLContext]
_State = tuple[tuple[int, int, int], ...]


class Renewal:
    """Looks at the files of a context's certificate and key; a changed pair serves the handshakes that begin then.

    `load` makes a context of them, or raises SettingsError. A changed pair gets a context of its own, by which
    handshakes go on instead of the first one: so a pair that cannot be loaded (half written, key and certificate of two
    pairs) changes nothing, and nothing of an old pair stays, as it would where the new one's key is of another kind.
    Such a pair is tried again at each look, and told once.
    """

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path, load: Load) -> None:
        self._context = context
        self._current = context
        self._files = (certificate, key)
        self._load = load
        self._loaded = self._state()
        self._is_closed = False
        self._told = ""

    @property
    def trouble(self) -> str:
        """What somebody should look at; "" for nothing."""
        return f"{STAYS} ({self._told})" if self._told else ""

    async def follow(self) -> None:
        """Look at the files every LOOK_EVERY_SECONDS, for good."""
        unreadable = [str(path) for path in self._files if not os.access(path, os.R_OK)]
        self._is_closed = bool(unreadable)
        if unreadable:  # what is read at the start was read as root
            log.warning(
                "a renewed TLS certificate needs a restart: its files can be read by root only", files=unreadable
            )
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.look()

    def look(self) -> None:
        """Put the pair in force if it has changed."""
        state = self._state()
        if state == self._loaded or (state is None and self._is_closed):  # they need not be away
            self._told = ""
            return
        try:
            self._current = self._load(*self._files)
        except SettingsError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning(STAYS, because=self._told)
            return
        self._context.sni_callback = self._choose  # called with or without a name
        self._loaded, self._told = state, ""
        log.info("TLS certificate loaded anew", certificate=str(self._files[0]))

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _state(self) -> _State | None:
        """Tell versions of the files apart; None while one of them is away, or in a folder that is closed to us."""
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in found)
