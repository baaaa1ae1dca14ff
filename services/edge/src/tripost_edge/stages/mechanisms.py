"""Which SASL mechanisms a client may use: those that work in domains and that its listener offers."""

import asyncio
from typing import Final

import structlog

from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.ports import Bus, NoAnswer
from tripost_edge.session.session import Session
from tripost_shared.contracts.sasl import DEFAULT_MECHANISMS, MECHANISMS, MechanismsQuestion
from tripost_shared.mail.client import ListenerKind

log = structlog.get_logger()

ASK_AGAIN_SECONDS: Final = 5  # after domains gave no answer
_ALL: Final = ""  # the one key of what is remembered


class OfferedMechanisms:
    """Asks domains which mechanisms work, and remembers it until the directory changes, for a short time at most.

    While domains does not answer it is what was known last, and before that the default ones: who uses one of them then
    is told to come back.
    """

    def __init__(self, bus: Bus, directory: DirectoryMemory) -> None:
        self._bus = bus
        self._directory = directory
        self._last: tuple[str, ...] = tuple(DEFAULT_MECHANISMS)
        self._asking = asyncio.Lock()

    async def of(self, session: Session) -> tuple[str, ...]:
        """Name what this client may use now; nothing before TLS, and where nobody logs in."""
        client = session.client
        if client.kind is not ListenerKind.SUBMISSION or not client.tls:
            return ()
        return tuple(name for name in await self._working() if not session.mechanisms or name in session.mechanisms)

    async def _working(self) -> tuple[str, ...]:
        remembered = self._directory.mechanisms
        async with self._asking:
            known = remembered.get(_ALL)
            if known is not None:
                return known
            generation = remembered.generation
            try:
                answer = await self._bus.ask(MECHANISMS, MechanismsQuestion(self._directory.revision))
            except NoAnswer as failure:
                log.debug("mechanisms are not known anew", because=str(failure))
                remembered.put(_ALL, self._last, generation, at_most=ASK_AGAIN_SECONDS)
                return self._last
            self._last = answer.mechanisms
            remembered.put(_ALL, answer.mechanisms, generation)
            return answer.mechanisms
