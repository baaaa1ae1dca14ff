"""Telling inside one process, for tests: several replicas may share one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tripost_shared.bus.encoding import decode, encode

Message = TypeVar("Message", bound=msgspec.Struct)


class MemoryTelling:
    """Tells in the next turn of the event loop, in one order for all. `is_down`: nothing is sent."""

    def __init__(self) -> None:
        self.is_down = False
        self.told = 0  # messages
        self._takers: dict[str, list[Callable[[bytes], None]]] = defaultdict(list)

    def tell(self, subject: str, message: msgspec.Struct) -> bool:
        """Tell all who listen."""
        if self.is_down:
            return False
        self.told += 1
        octets = encode(message)
        for take in self._takers[subject]:
            asyncio.get_running_loop().call_soon(take, octets)
        return True

    def hear(self, subject: str, kind: type[Message], taker: Callable[[Message], None]) -> None:
        """Listen."""
        self._takers[subject].append(lambda octets: taker(decode(octets, kind)))
