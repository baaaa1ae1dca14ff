"""Who we are to clients: certificates chosen by the name that they ask for (SNI, RFC 6066 §3), renewed while we run.

The default pair is that of the settings. Further ones lie in a folder: `<any>.crt` with `<any>.key`, or both in one
`<any>.pem`. A name is looked for among the certificates' DNS names as it is, then as one of `*.`.
"""

import asyncio
import os
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from tripost_edge.listeners.key_pair import KeyPair, UnusablePair
from tripost_edge.listeners.tls import TlsPolicy
from tripost_edge.ports import Clock
from tripost_shared.certificate_renewal import LOOK_EVERY_SECONDS, STAYS
from tripost_shared.settings import SettingsError

log = structlog.get_logger()

EXPIRES_SOON: Final = timedelta(days=14)

_State = tuple[tuple[int, int, int], ...]


class _Followed:
    """The files of a pair, and what was last read of them that could be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key
        self.pair: KeyPair | None = None
        self.trouble = ""
        self._state: _State | None = None

    def look(self) -> bool:
        """Read the files if they have changed; tells whether another pair is in force. A broken one is told once."""
        state = self._state_now()
        if state is not None and state == self._state:
            self.trouble = ""
            return False
        try:
            self.pair = KeyPair.read(self.certificate, self.key)
        except UnusablePair as error:
            if str(error) != self.trouble:
                self.trouble = str(error)
                log.warning(STAYS, because=self.trouble)
            return False
        self._state, self.trouble = state, ""
        return True

    def _state_now(self) -> _State | None:
        """Tell versions of the files apart; None while one of them is away, or in a folder that is closed to us."""
        try:
            found = [path.stat() for path in (self.certificate, self.key)]
        except OSError:
            return None
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in found)


class Certificates:
    """Gives listeners their contexts. A pair that is added, changed or removed counts for handshakes from then on.

    One that cannot be used changes nothing, is told, and is tried again at each look. Raises SettingsError where that
    is the default one, at first.
    """

    def __init__(self, certificate: Path, key: Path, folder: Path, clock: Clock) -> None:
        self._default = _Followed(certificate, key)
        try:
            self._default.pair = KeyPair.read(certificate, key)
        except UnusablePair as error:
            settings = "TRIPOST_EDGE_KEY" if error.of_key else "TRIPOST_EDGE_CERTIFICATE, TRIPOST_EDGE_KEY"
            raise SettingsError(f"{settings}: {error}") from error
        self._default.look()
        self._folder = folder
        self._clock = clock
        self._named: dict[Path, _Followed] = {}
        self._by_name: dict[str, KeyPair] = {}
        self._fronts: dict[TlsPolicy, ssl.SSLContext] = {}
        self._closed: frozenset[Path] = frozenset()
        self.look()

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """Give the context for a listener. It shows no certificate of its own: each handshake chooses one."""
        if policy not in self._fronts:
            front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            policy.apply(front)

            def choose(handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
                handshake.context = self._chosen(name).context(policy)

            front.sni_callback = choose  # called with or without a name
            self._fronts[policy] = front
        return self._fronts[policy]

    async def follow(self) -> None:
        """Look at all files every LOOK_EVERY_SECONDS, for good."""
        needed = (
            self._default.certificate,
            self._default.key,
            *([self._folder] if _may_be_there(self._folder) else ()),
        )
        self._closed = frozenset(path for path in needed if not os.access(path, os.R_OK))
        if self._closed:  # what is read at the start was read as root
            closed = sorted(map(str, self._closed))
            log.warning("a renewed TLS certificate needs a restart: its files can be read by root only", files=closed)
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                self.look()
            except Exception:  # an entrance: one odd file must not end the renewal of all
                log.exception("TLS certificates could not be looked at")

    def look(self) -> None:
        """Put in force what has changed."""
        if self._closed.isdisjoint((self._default.certificate, self._default.key)):
            _look_at(self._default)
        listed = self._listed()
        if listed is not None:
            for gone in self._named.keys() - listed.keys():
                del self._named[gone]
                log.info("TLS certificate removed", certificate=str(gone))
            for certificate, key in listed.items():
                _look_at(self._named.setdefault(certificate, _Followed(certificate, key)))
        self._by_name = self._names_in_force()

    def troubles(self) -> Iterator[str]:
        """Say what somebody should look at: pairs that cannot be used, certificates that expire."""
        soon = self._clock.now() + EXPIRES_SOON
        for followed in (self._default, *self._named.values()):
            if followed.trouble:
                is_default = followed is self._default
                settings = "TRIPOST_EDGE_CERTIFICATE, TRIPOST_EDGE_KEY: " if is_default else ""
                yield f"{STAYS} ({settings}{followed.trouble})"
            if followed.pair is not None and followed.pair.ends_at <= soon:
                yield f"TLS certificate {followed.certificate} ends on {followed.pair.ends_at:%Y-%m-%d}: renew it"

    def _listed(self) -> dict[Path, Path] | None:
        """Give the pairs of the folder, certificate and key; None while it cannot be read."""
        try:
            found = sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return {}
        except OSError:
            return None
        pairs = {path: path.with_suffix(".key") for path in found if path.suffix == ".crt"}
        return {**pairs, **{path: path for path in found if path.suffix == ".pem"}}

    def _names_in_force(self) -> dict[str, KeyPair]:
        """Give the pair of each name: one of the folder before the default one, and of these what ends last."""
        pairs = [followed.pair for followed in self._named.values() if followed.pair is not None]
        pairs.sort(key=lambda pair: pair.ends_at)
        ordered = [self._default.pair, *pairs] if self._default.pair is not None else pairs
        return {name: pair for pair in ordered for name in pair.names}

    def _chosen(self, name: str | None) -> KeyPair:
        asked = (name or "").lower().rstrip(".")
        pair = self._by_name.get(asked) or self._by_name.get(f"*.{asked.partition('.')[2]}") or self._default.pair
        if pair is None:
            raise RuntimeError("no default certificate")  # it was read at first, and is never dropped
        return pair


def _may_be_there(folder: Path) -> bool:
    """Tell whether there is such a folder, or one above it is closed to us."""
    try:
        return folder.exists()
    except PermissionError:
        return True


def _look_at(followed: _Followed) -> None:
    if followed.look() and followed.pair is not None:
        log.info("TLS certificate loaded", certificate=str(followed.certificate), names=followed.pair.names)
