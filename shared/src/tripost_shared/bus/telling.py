"""Telling all replicas something at once, ourselves among them: a port, and its adapter on core NATS.

Nothing is stored, and nothing is sent later: who is away misses it. What one process tells arrives in the order told,
and all who are at one NATS server hear all that is told there in one order.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
import structlog

from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink, TooLarge

log = structlog.get_logger()

Message = TypeVar("Message", bound=msgspec.Struct)


class Telling(Protocol):
    """How replicas tell each other."""

    def tell(self, subject: str, message: msgspec.Struct) -> bool:
        """Tell all who listen; says whether it could be sent."""
        ...

    def hear(self, subject: str, kind: type[Message], taker: Callable[[Message], None]) -> None:
        """Have each message handed to `taker`, which must not wait."""
        ...


class NatsTelling:
    """Telling over a link to NATS."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link

    def tell(self, subject: str, message: msgspec.Struct) -> bool:
        """Publish it with all else of this turn of the event loop."""
        try:
            self._link.publish(subject, encode(message))
        except LinkDown:
            return False
        except TooLarge as error:
            log.warning("replicas are not told", subject=subject, because=str(error))
            return False
        return True

    def hear(self, subject: str, kind: type[Message], taker: Callable[[Message], None]) -> None:
        """Subscribe; what cannot be read is left out."""

        def take(incoming: Incoming) -> None:
            try:
                message = decode(incoming.data, kind)
            except msgspec.DecodeError as error:
                log.warning("what a replica told cannot be read", subject=subject, because=str(error))
                return
            taker(message)

        self._link.subscribe(subject, take)
