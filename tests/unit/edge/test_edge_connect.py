"""What the filter said of a client is remembered, but not beyond a change of its policy."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tripost_edge.session.session import Session
from tripost_edge.stages.connect import COUNTS_SECONDS, Connect
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.bus.port import NoAnswer
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import CONNECTION, Action, ConnectionQuestion, Finding, Verdict
from tripost_shared.mail.client import Client


class OneFilter:
    """A filter whose policy changes; `asked` counts its questions."""

    def __init__(self) -> None:
        self.verdict = Verdict(Action.REJECT, revision=7)
        self.asked = 0

    async def judge(self, _question: ConnectionQuestion) -> Verdict:
        self.asked += 1
        return self.verdict


async def given(clock: FrozenClock, remember_seconds: float = 60) -> tuple[Connect, OneFilter]:
    bus, filter_tier = MemoryBus(), OneFilter()
    await bus.serve(CONNECTION, filter_tier.judge)
    return Connect(bus, clock, remember_seconds=remember_seconds), filter_tier


async def judged(connect: Connect, session_id: str) -> Action:
    session = Session(session_id, Client("192.0.2.9"))
    connect.begin(session)
    verdict = await connect.judgement(session)
    assert verdict is not None
    return verdict.action


async def test_a_client_is_asked_about_again_once_the_policy_has_changed(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    connect.take_policy(7)
    assert [await judged(connect, name) for name in ("s1", "s2")] == [Action.REJECT, Action.REJECT]
    assert filter_tier.asked == 1
    filter_tier.verdict = Verdict(Action.ACCEPT, revision=8)
    connect.take_policy(8)
    assert await judged(connect, "s3") is Action.ACCEPT
    assert filter_tier.asked == 2


@pytest.mark.parametrize(("remember_seconds", "questions"), [(60, 1), (0, 5)])
async def test_sessions_of_one_moment_share_a_question_unless_nothing_is_to_be_remembered(
    clock: FrozenClock, remember_seconds: float, questions: int
) -> None:
    connect, filter_tier = await given(clock, remember_seconds)
    await asyncio.gather(*(judged(connect, f"s{number}") for number in range(5)))
    assert filter_tier.asked == questions


async def again(connect: Connect, session: Session) -> Action:
    """Judge the client of an open session at its next transaction."""
    connect.renew(session)
    verdict = await connect.judgement(session)
    assert verdict is not None
    return verdict.action


async def test_a_changed_policy_reaches_a_session_that_is_open(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    connect.take_policy(7)
    connect.begin(session := Session("s1", Client("192.0.2.9")))
    assert [await again(connect, session) for _ in range(3)] == [Action.REJECT] * 3
    assert filter_tier.asked == 1
    filter_tier.verdict = Verdict(Action.ACCEPT, revision=8)
    connect.take_policy(8)
    assert [await again(connect, session) for _ in range(3)] == [Action.ACCEPT] * 3
    assert filter_tier.asked == 2


async def test_a_replica_that_does_not_know_the_newest_policy_is_asked_again(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    connect.take_policy(8)
    connect.begin(session := Session("s1", Client("192.0.2.9")))
    assert await again(connect, session) is Action.REJECT
    filter_tier.verdict = Verdict(Action.ACCEPT, revision=8)
    assert await again(connect, session) is Action.ACCEPT


async def test_a_verdict_counts_for_five_minutes_of_a_session(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    filter_tier.verdict = Verdict(Action.ACCEPT)
    connect.begin(session := Session("s1", Client("192.0.2.9")))
    assert await again(connect, session) is Action.ACCEPT
    filter_tier.verdict = Verdict(Action.REJECT)
    clock.advance(timedelta(seconds=COUNTS_SECONDS - 1))
    assert await again(connect, session) is Action.ACCEPT
    clock.advance(timedelta(seconds=1))
    assert await again(connect, session) is Action.REJECT


async def test_a_verdict_counts_no_longer_than_the_answers_of_the_dns_that_it_rests_on(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    filter_tier.verdict = Verdict(Action.ACCEPT, good_for_seconds=20)
    connect.begin(session := Session("s1", Client("192.0.2.9")))
    assert await again(connect, session) is Action.ACCEPT
    filter_tier.verdict = Verdict(Action.REJECT, good_for_seconds=20)
    clock.advance(timedelta(seconds=15))
    assert await judged(connect, "s2") is Action.ACCEPT
    connect.begin(later := Session("s3", Client("192.0.2.9")))
    clock.advance(timedelta(seconds=5))
    assert await again(connect, later) is Action.REJECT  # it was five seconds from its end when this one took it over
    assert await again(connect, session) is Action.REJECT
    assert await judged(connect, "s4") is Action.REJECT


async def test_a_verdict_on_answers_for_their_asker_alone_counts_for_one_transaction_of_one_session(
    clock: FrozenClock,
) -> None:
    """A DNS answer with TTL 0 is for the transaction in progress (RFC 1035 §3.2.1)."""
    connect, filter_tier = await given(clock)
    filter_tier.verdict = Verdict(Action.ACCEPT, good_for_seconds=0)
    await asyncio.gather(*(judged(connect, f"s{number}") for number in range(5)))
    assert filter_tier.asked == 5
    connect.begin(session := Session("s6", Client("192.0.2.9")))
    connect.take(session, filter_tier.verdict)
    assert await connect.judgement(session) is filter_tier.verdict  # for other recipients of this transaction
    assert filter_tier.asked == 5
    filter_tier.verdict = Verdict(Action.REJECT, good_for_seconds=0)
    assert await again(connect, session) is Action.REJECT


DNS_AWAY = (Finding("reverse_dns", "permerror"), Finding("dnsbl", "no data", degraded=True))


@pytest.mark.parametrize(
    ("failure_policy", "sound"),
    [(Action.DEFER, Action.ACCEPT), (Action.ACCEPT, Action.REJECT)],
    ids=["tempfail", "accept"],
)
async def test_a_verdict_without_a_check_s_work_counts_for_one_transaction_only(
    clock: FrozenClock, failure_policy: Action, sound: Action
) -> None:
    """Else a client would be refused, or get past the block lists, for as long as a sound verdict counts."""
    connect, filter_tier = await given(clock)
    filter_tier.verdict = Verdict(failure_policy, DNS_AWAY)
    connect.begin(session := Session("s1", Client("192.0.2.9")))
    assert await again(connect, session) is failure_policy
    assert await connect.judgement(session) is session.judgement  # for other recipients of this transaction
    assert filter_tier.asked == 1
    filter_tier.verdict = Verdict(sound)
    assert await again(connect, session) is sound
    assert await judged(connect, "s2") is sound
    assert filter_tier.asked == 2


async def test_a_verdict_without_a_check_s_work_counts_in_no_other_session(clock: FrozenClock) -> None:
    connect, filter_tier = await given(clock)
    filter_tier.verdict = Verdict(Action.DEFER, DNS_AWAY)
    assert await judged(connect, "s1") is Action.DEFER
    filter_tier.verdict = Verdict(Action.ACCEPT)
    assert await judged(connect, "s2") is Action.ACCEPT


async def test_after_a_failure_that_nobody_foresaw_the_next_recipient_asks_again(clock: FrozenClock) -> None:
    bus, filter_tier = MemoryBus(), OneFilter()
    await bus.serve(CONNECTION, filter_tier.judge)
    connect = Connect(bus, clock, remember_seconds=60)
    session = Session("s1", Client("192.0.2.9"))
    with pytest.MonkeyPatch.context() as patched, capture_logs() as logs:
        patched.setattr(bus, "ask", _broken)
        connect.begin(session)
        with pytest.raises(ZeroDivisionError):
            await connect.judgement(session)
    assert [(line["log_level"], line["event"]) for line in logs] == [("error", "connection not judged")]
    verdict = await connect.judgement(session)
    assert verdict == filter_tier.verdict


async def test_a_question_that_has_just_failed_is_shared_no_more(
    clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, filter_tier = MemoryBus(), OneFilter()
    await bus.serve(CONNECTION, filter_tier.judge)
    connect = Connect(bus, clock, remember_seconds=60)
    failed: list[object] = []

    async def fail(_: object, question: ConnectionQuestion) -> Verdict:
        failed.append(question)
        raise NoAnswer

    with monkeypatch.context() as patched:
        patched.setattr(bus, "ask", fail)
        first = asyncio.create_task(judged(connect, "s1"))
        while not failed:  # noqa: ASYNC110 (an event would let the end of the question be noted first)
            await asyncio.sleep(0)
    third = asyncio.create_task(judged(connect, "s3"))
    assert await judged(connect, "s2") is Action.REJECT
    assert await third is Action.REJECT
    assert filter_tier.asked == 1
    with pytest.raises(NoAnswer):
        await first


async def _broken(*_: object) -> Verdict:
    raise ZeroDivisionError
