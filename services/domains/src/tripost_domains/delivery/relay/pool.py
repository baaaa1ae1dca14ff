"""Sessions that are kept open for the next message to the same host."""

from collections import deque
from typing import Final

from tripost_domains.delivery.relay.host import Way
from tripost_domains.delivery.relay.session import SmtpSession, say_goodbye_all
from tripost_shared.clock import Clock

MAX_IDLE: Final = 200  # of all hosts together


class SessionPool:
    """Idle sessions; the one used last is given first, so that the others can grow old and be closed."""

    def __init__(self, clock: Clock, idle_seconds: float, max_transactions: int) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._max_transactions = max_transactions
        self._idle: dict[Way, deque[tuple[float, SmtpSession]]] = {}
        self._count = 0

    def take(self, way: Way) -> SmtpSession | None:
        """Give a session that was left open, if there is one that is still good."""
        sessions = self._idle.get(way)
        while sessions:
            at, session = sessions.pop()
            self._count -= 1
            if not sessions:
                del self._idle[way]
            if session.is_usable and self._clock.monotonic() - at < self._idle_seconds:
                return session
            session.close()
        return None

    def give_back(self, way: Way, session: SmtpSession) -> None:
        """Keep a session for later, unless it has served enough or there are too many."""
        if not session.is_usable:
            session.close()
        elif self._count >= MAX_IDLE or session.transactions >= self._max_transactions or not self._idle_seconds:
            session.say_goodbye()
        else:
            self._idle.setdefault(way, deque()).append((self._clock.monotonic(), session))
            self._count += 1

    async def close_idle(self) -> None:
        """Close what has been idle for long enough; to be called every few seconds."""
        before = self._clock.monotonic() - self._idle_seconds
        old: list[SmtpSession] = []
        for way in list(self._idle):
            sessions = self._idle[way]
            while sessions and (sessions[0][0] <= before or not sessions[0][1].is_usable):
                old.append(sessions.popleft()[1])
            if not sessions:
                del self._idle[way]
        self._count -= len(old)
        await say_goodbye_all(old)

    async def close(self) -> None:
        """Close all that are idle."""
        sessions = [session for kept in self._idle.values() for _, session in kept]
        self._idle.clear()
        self._count = 0
        await say_goodbye_all(sessions)
