"""A client connects: the filter judges it while the session goes on (stage "connection").

The question is held back for a moment. A client that has come to its recipients by then is near, and is judged by the
same question as they; for one that is farther away the block lists are asked while its commands travel.
"""

import asyncio
from typing import Final

import structlog
from msgspec.structs import replace

from tripost_edge.limits.short_memory import ShortMemory
from tripost_edge.ports import Bus, Clock, NoAnswer
from tripost_edge.session.phase import Phase
from tripost_edge.session.session import Session
from tripost_shared.contracts.filter import CONNECTION, ConnectionQuestion, Verdict
from tripost_shared.mail.client import ListenerKind

log = structlog.get_logger()

CAPACITY: Final = 10_000  # clients remembered
COUNTS_SECONDS: Final = 300.0  # how long a verdict counts in one session: a client may stay for an hour
HELD_BACK_SECONDS: Final = 0.05
MAX_UNDER_WAY: Final = 2_000  # questions about clients alone; beyond that a session asks when it needs the answer

ClientKey = tuple[str, bool, bool, bool, ListenerKind]
QuestionKey = tuple[ClientKey, str]  # the session's id where sessions do not share an answer


class Connect:
    """Asks the filter about clients, and remembers its answers for a while.

    Sessions of one client at one time share a question; but not one that is about their recipients too.

    An answer that a check could not do its work for counts for the transaction at hand only: the next one asks again.
    So it does where the DNS lets an answer count no longer; one that is for its asker alone (TTL 0) is not shared.
    Where nothing is to be remembered, nothing is shared either: each session has a question of its own.
    Clients of submission listeners are not asked about: they must authenticate, and then block lists do not count.
    """

    def __init__(self, bus: Bus, clock: Clock, *, remember_seconds: float) -> None:
        self._bus = bus
        self._clock = clock
        self._memory: ShortMemory[ClientKey, tuple[Verdict, float]] = ShortMemory(clock, remember_seconds, CAPACITY)
        self._shares = remember_seconds > 0
        self._under_way: dict[QuestionKey, asyncio.Task[Verdict]] = {}
        self._revision = 0

    def take_policy(self, revision: int) -> None:
        """Count nothing that was remembered from an older configuration of the filter than this."""
        self._revision = revision

    def begin(self, session: Session) -> None:
        """Have the answer under way soon, unless it is known."""
        if session.client.kind is ListenerKind.SUBMISSION:
            return
        session.judged_at, session.judged_by = self._clock.monotonic(), self._revision
        session.judgement = self._remembered(session)
        if session.judgement is None and session.will_ask is None:
            session.will_ask = asyncio.get_running_loop().call_later(HELD_BACK_SECONDS, self._ask_if_open, session)

    def renew(self, session: Session) -> None:
        """At a new transaction: have the client judged again when its verdict is old, unsound, or of another policy."""
        known = session.judgement
        is_old = self._clock.monotonic() - session.judged_at >= _counts_seconds(known)
        is_unsound = _has_failed(known) or (isinstance(known, Verdict) and not _is_sound(known))
        if is_old or is_unsound or session.judged_by < self._revision or known is None:
            self.begin(session)

    async def judgement(self, session: Session) -> Verdict | None:
        """Wait for the verdict on the session's client; None when none is wanted. Raises NoAnswer.

        After a failure, one that nobody foresaw too, the next call asks again.
        """
        if session.client.kind is ListenerKind.SUBMISSION:
            return None
        self._hold_back_no_more(session)
        self._recall(session)
        judgement = session.judgement or self._ask(session)
        if isinstance(judgement, Verdict):
            return judgement
        try:
            # Other sessions may wait for the same answer, so the end of this one must not stop it.
            session.judgement = await asyncio.shield(judgement)
        except Exception:
            session.judgement = None
            raise
        session.judged_by = min(session.judged_by, session.judgement.revision)  # a replica may not know the newest yet
        return session.judgement

    def join(self, session: Session) -> bool:
        """Have a question about the client's recipients ask about it too; False when that is not called for.

        It is where nobody has asked yet and nothing is remembered; not once the client has logged in, since what is
        remembered is its address's. Such questions are not shared between sessions.
        """
        if session.client.kind is ListenerKind.SUBMISSION or session.client.login:
            return False
        self._recall(session)
        if session.judgement is not None:
            return False
        self._hold_back_no_more(session)
        return True

    def take(self, session: Session, verdict: Verdict) -> None:
        """Take the verdict on the client that a question about recipients has brought."""
        session.judgement, session.judged_at = verdict, self._clock.monotonic()
        session.judged_by = min(self._revision, verdict.revision)
        self._remember(_key(session), verdict)

    def _recall(self, session: Session) -> None:
        """Have nobody wait for a question that failed; take what another session of the client has learnt meanwhile."""
        if session.judgement is None or _has_failed(session.judgement):
            session.judgement = self._remembered(session)

    def _remembered(self, session: Session) -> Verdict | None:
        known = self._memory.get(_key(session))
        if known is None or known[0].revision < self._revision:
            return None
        verdict, session.judged_at = known
        return verdict

    def _remember(self, key: ClientKey, verdict: Verdict) -> None:
        if _is_sound(verdict):
            self._memory.put(key, (verdict, self._clock.monotonic()), at_most=verdict.good_for_seconds)

    def _ask_if_open(self, session: Session) -> None:
        session.will_ask = None
        is_open = session.judgement is None and session.phase is not Phase.CLOSED
        if is_open and len(self._under_way) < MAX_UNDER_WAY:
            session.judgement = self._remembered(session) or self._ask(session)

    def _hold_back_no_more(self, session: Session) -> None:
        if session.will_ask is not None:
            session.will_ask.cancel()
            session.will_ask = None

    def _ask(self, session: Session) -> asyncio.Task[Verdict]:
        key = (_key(session), "" if self._shares else session.id)
        # What is remembered is the address's, so a login does not count.
        question = ConnectionQuestion(session.id, replace(session.client, login=""))
        task = self._under_way.get(key)
        if task is not None and not _has_failed(task):
            joined = asyncio.create_task(self._join(task, question))
            joined.add_done_callback(_see)
            return joined
        task = asyncio.create_task(self._bus.ask(CONNECTION, question))
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._finish(key, done))
        return task

    async def _join(self, task: asyncio.Task[Verdict], question: ConnectionQuestion) -> Verdict:
        """Wait with another session for its answer; ask anew where that is for the one alone."""
        verdict = await asyncio.shield(task)
        return await self._bus.ask(CONNECTION, question) if verdict.good_for_seconds == 0 else verdict

    def _finish(self, key: QuestionKey, task: asyncio.Task[Verdict]) -> None:
        if self._under_way.get(key) is task:  # else it has failed, and was asked again before this
            del self._under_way[key]
        client, _ = key
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, NoAnswer):
            log.debug("connection not judged", client=client[0], because=str(error))
        elif error is not None:
            log.error("connection not judged", client=client[0], exc_info=error)
        else:
            self._remember(client, task.result())


def _see(task: asyncio.Task[Verdict]) -> None:
    """Take note of how it ended: whoever waits is told, and the failure itself is logged by `_finish`."""
    if not task.cancelled():
        task.exception()


def _has_failed(judgement: object) -> bool:
    """Whether it is a question that has ended without an answer, and counts as none: the filter may be back since."""
    if not isinstance(judgement, asyncio.Task) or not judgement.done():
        return False
    return judgement.cancelled() or judgement.exception() is not None


def _counts_seconds(judgement: object) -> float:
    """How long it counts in one session."""
    if not isinstance(judgement, Verdict) or judgement.good_for_seconds is None:
        return COUNTS_SECONDS
    return min(COUNTS_SECONDS, judgement.good_for_seconds)


def _is_sound(verdict: Verdict) -> bool:
    """Whether every check could do its work: DNS may be away for one question only."""
    return not any(finding.degraded for finding in verdict.findings)


def _key(session: Session) -> ClientKey:
    client = session.client
    return client.address, client.announced_by_proxy, client.unnamed_by_proxy, client.relay_permitted, client.kind
