"""The listeners of a worker, brought to what the configuration says while sessions go on.

A listener whose address stays has its profile replaced. One that moves is opened at its new address before it leaves
the old one. What cannot be opened is told, and tried again every few seconds.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from tripost_edge.listeners.context import Context, ListenerProfile, ProfileInForce
from tripost_edge.listeners.listener import Listener
from tripost_edge.listeners.sockets import BoundBefore
from tripost_edge.listeners.wanted import Wanted
from tripost_shared.contracts.nodes import ListenerState
from tripost_shared.settings import Listen, SettingsError
from tripost_shared.sockets import bound_socket

log = structlog.get_logger()

TRY_AGAIN_SECONDS: Final = 3.0

WithLimits = Callable[[ListenerProfile], ListenerProfile]


@dataclass(slots=True)
class _Open:
    """A listener, and the address that it was opened for (with port 0 another than it has)."""

    address: Listen
    listener: Listener


class OpenListeners:
    """Opens, moves and closes listeners. `with_limits` gives a profile with the limits that hold for it now."""

    def __init__(self, context: Context, with_limits: WithLimits, *, share: bool) -> None:
        self._context = context
        self._with_limits = with_limits
        self._share = share  # with other workers, each with a socket of its own at the same address
        self._sockets = BoundBefore()
        self._wanted: Mapping[str, Wanted] = {}
        self._open: dict[str, _Open] = {}
        self._in_force: dict[str, ProfileInForce] = {}
        self._closed_because: dict[str, str] = {}
        self._told: dict[str, str] = {}  # of these, what the log has said
        self._changed = asyncio.Event()
        self.is_settled = False  # what was taken last is open, or cannot be
        self._following: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Listener]:
        return (opened.listener for opened in self._open.values())

    @property
    def wanted(self) -> Mapping[str, Wanted]:
        """The listeners that are to be open, by their names."""
        return self._wanted

    def trouble_of(self, name: str) -> str:
        """Say why a listener is not open, or takes no clients just now; "" when all is well."""
        opened = self._open.get(name)
        return self._closed_because.get(name, "") or (opened.listener.trouble if opened is not None else "")

    def troubles(self) -> Iterator[str]:
        """Say what somebody should look at."""
        return (f"{name}: {trouble}" for name in self._wanted if (trouble := self.trouble_of(name)))

    def states(self) -> Iterator[ListenerState]:
        """Tell of each that is to be open where it is, and what is wrong."""
        for name, wanted in self._wanted.items():
            opened = self._open.get(name)
            address = wanted.address if opened is None else opened.listener.address_text
            yield ListenerState(name, str(address), self.trouble_of(name))

    def take(self, wanted: Mapping[str, Wanted]) -> None:
        """Have these open, and no others. Profiles are in force at once; addresses follow soon, once started."""
        self._wanted = wanted
        self.is_settled = False
        self.refresh()
        self._changed.set()

    def refresh(self) -> None:
        """Put the profiles in force anew: other limits hold."""
        for name, one in self._wanted.items():
            profile = self._with_limits(one.profile)
            if name in self._in_force:
                self._in_force[name].current = profile
            else:
                self._in_force[name] = ProfileInForce(profile)

    async def start(self, sockets: BoundBefore) -> None:
        """Open all that can be opened, on sockets that were bound before where there are such; then follow changes."""
        self._sockets = sockets
        await self._bring_about()
        sockets.refuse_clients()
        self._following = asyncio.create_task(self._follow())

    def stop(self) -> None:
        """Take no more clients; sessions go on."""
        if self._following is not None:
            self._following.cancel()
        for opened in self._open.values():
            opened.listener.stop()
        self._sockets.close()

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TRY_AGAIN_SECONDS if self._closed_because else None):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._bring_about()
                self.is_settled = not self._changed.is_set()
            except Exception:  # an entrance: later changes must be taken
                log.exception("listeners could not be changed")
                await asyncio.sleep(TRY_AGAIN_SECONDS)
                self._changed.set()

    async def _bring_about(self) -> None:
        """Open what is new or moves, close what is not wanted; then try again what could not be opened before."""
        wanted = dict(self._wanted)
        self._closed_because = {name: why for name, why in self._closed_because.items() if name in wanted}
        blocked = [name for name, one in wanted.items() if not await self._open_one(name, one)]
        for name in self._open.keys() - wanted.keys():
            self._close(name)
        addresses = {wanted[name].address for name in blocked}
        for name in blocked:  # two that change places
            if name in self._open and self._open[name].address in addresses:
                self._close(name)
        for name in blocked:
            if not await self._open_one(name, wanted[name]):
                self._tell(name, self._closed_because[name])
        for name in self._in_force.keys() - self._wanted.keys():
            del self._in_force[name]  # sessions that go on have it still

    async def _open_one(self, name: str, wanted: Wanted) -> bool:
        """Have a listener open at its address; False where that failed, and is noted."""
        opened = self._open.get(name)
        try:
            if opened is None or opened.address != wanted.address:
                listener = await self._opened(name, wanted)
                if opened is not None:
                    self._close(name)
                self._open[name] = _Open(wanted.address, listener)
            else:
                await opened.listener.serve_anew()
        except SettingsError as error:
            self._closed_because[name] = str(error)
            return False
        self._closed_because.pop(name, None)
        self._told.pop(name, None)
        return True

    def _tell(self, name: str, because: str) -> None:
        """Say in the log why a listener is not open; once, however long it lasts."""
        if self._told.get(name) != because:
            self._told[name] = because
            log.error("listener not opened", listener=name, because=because)

    async def _opened(self, name: str, wanted: Wanted) -> Listener:
        for other, opened in self._open.items():
            if other != name and wanted.address.port and wanted.address.overlaps(opened.address):
                raise SettingsError(f"cannot be opened: {wanted.address}: listener {other} is at {opened.address}")
        bound = self._sockets.take(name, wanted.address) or bound_socket(
            wanted.address, "cannot be opened", share=self._share
        )
        listener = Listener(self._in_force[name], bound, self._context)
        try:
            await listener.start()
        except SettingsError:
            self._sockets.give_back(bound)
            raise
        log.info("listening", listener=name, address=listener.address_text)
        return listener

    def _close(self, name: str) -> None:
        listener = self._open.pop(name).listener
        log.info("listener closed", listener=name, address=listener.address_text)
        self._sockets.give_back(listener.release())
