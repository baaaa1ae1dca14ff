"""Whether the DNS servers answer nothing, or are just silent about a zone whose own servers are away.

A resolver is silent, for longer than anybody waits, about every name of such a zone, and answers all others. So after a
few questions without an answer something neutral is asked, again and again until there is a reply, and only what goes
unanswered too is told. A reply of any kind, to anything, ends the silence.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

SUSPICIOUS_QUESTIONS: Final = 3  # without a reply to any in between
TROUBLE_SECONDS: Final = 5.0  # of silence, before it is told
PROBE_EVERY_SECONDS: Final = 10.0


class Silence:
    """How long no server has said anything.

    `is_answered` asks the neutral question, and gives whether there was a reply.
    """

    def __init__(self, is_answered: Callable[[], Awaitable[bool]]) -> None:
        self._is_answered = is_answered
        self._unanswered = 0
        self._since = 0.0
        self._because = ""
        self._is_certain = False
        self._probing: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """Why nothing is answered; "" when all is well, or nobody has asked."""
        if not self._is_certain:
            return ""
        seconds = asyncio.get_running_loop().time() - self._since
        return f"no DNS server answers, for {seconds:.0f} s: {self._because}" if seconds >= TROUBLE_SECONDS else ""

    def note(self, asked_at: float, because: str) -> None:
        """Note a question, asked at this time of the event loop, that no server has answered."""
        if not self._unanswered:
            self._since = asked_at
        self._unanswered += 1
        self._because = because
        if self._unanswered >= SUSPICIOUS_QUESTIONS and self._probing is None:
            self._probing = asyncio.get_running_loop().create_task(self._probe())

    def end(self) -> None:
        """Note that a server has replied."""
        self._unanswered = 0
        self._is_certain = False

    def close(self) -> None:
        """Ask nothing more."""
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self) -> None:
        try:
            while self._unanswered:
                if await self._is_answered():
                    self.end()
                    return
                self._is_certain = self._unanswered > 0  # another question may have been answered meanwhile
                await asyncio.sleep(PROBE_EVERY_SECONDS)
        finally:
            self._probing = None
