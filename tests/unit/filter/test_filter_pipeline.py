"""The pipeline: deadlines and broken checks."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tripost_filter.check import MustWait, Stage
from tripost_filter.mail import Mail
from tripost_filter.metrics import Degradation
from tripost_filter.pipeline import Pipeline
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import CheckPolicy, OnError
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.reply import TRY_LATER
from unit.filter.mails import a_mail

DEFAULT = CheckPolicy()


class Waiting:
    """A check that does what it is told, and waits."""

    stages = frozenset({Stage.MESSAGE})

    def __init__(self, name: str, act: Callable[[], Awaitable[Finding | None]]) -> None:
        self.name = name
        self._act = act

    async def examine(self, mail: Mail) -> Finding | None:
        return await self._act()


class Quick:
    """A check that does what it is told, at once."""

    name = "quick"
    stages = frozenset({Stage.MESSAGE})

    def __init__(self, act: Callable[[], Finding | None]) -> None:
        self._act = act
        self.task: asyncio.Task[object] | None = None

    def examine_at_once(self, mail: Mail) -> Finding | None:
        self.task = asyncio.current_task()
        return self._act()

    async def examine(self, mail: Mail) -> Finding | None:
        return Finding("quick", "waited for")


def finding_of(name: str, result: str = "pass") -> Callable[[], Awaitable[Finding | None]]:
    async def act() -> Finding | None:
        return Finding(name, result)

    return act


async def raising() -> Finding | None:
    raise RuntimeError("a bug\r\nX-Injected: yes")


async def never() -> Finding | None:
    await asyncio.Event().wait()
    return None


def a_pipeline(*checks: Waiting | Quick, policy: CheckPolicy = DEFAULT) -> Pipeline:
    return Pipeline([(check, policy) for check in checks], Degradation(), FrozenClock())


async def run(*checks: Waiting | Quick, policy: CheckPolicy = DEFAULT) -> tuple[Finding, ...]:
    return await a_pipeline(*checks, policy=policy).run(Stage.MESSAGE, a_mail())


async def test_findings_come_in_the_checks_order_whoever_is_done_first() -> None:
    first_may_end = asyncio.Event()

    async def first() -> Finding | None:
        await first_may_end.wait()
        return Finding("first", "pass")

    async def second() -> Finding | None:
        first_may_end.set()
        return Finding("second", "pass")

    findings = await run(Waiting("first", first), Waiting("second", second))
    assert [finding.check for finding in findings] == ["first", "second"]


async def test_a_check_that_has_no_business_with_the_mail_leaves_no_finding() -> None:
    async def nothing() -> Finding | None:
        return None

    assert await run(Waiting("a", nothing)) == ()


async def test_only_the_checks_of_the_stage_are_asked() -> None:
    assert await a_pipeline(Waiting("a", raising)).run(Stage.CONNECTION, a_mail()) == ()


async def test_a_check_that_raises_is_a_degraded_finding_and_stops_no_other() -> None:
    broken, good = await run(Waiting("broken", raising), Waiting("good", finding_of("good")))
    assert (broken.result, broken.degraded) == ("error", True)
    assert broken.because == "RuntimeError: a bug??X-Injected: yes"
    assert (good.result, good.degraded) == ("pass", False)


async def test_a_quick_check_that_raises_is_a_degraded_finding_too() -> None:
    def act() -> Finding | None:
        raise ValueError("a bug")

    (broken,) = await run(Quick(act))
    assert (broken.check, broken.result, broken.degraded) == ("quick", "error", True)


async def test_a_check_that_takes_too_long_is_a_degraded_finding() -> None:
    late, good = await run(
        Waiting("late", never), Waiting("good", finding_of("good")), policy=CheckPolicy(time_budget_ms=20)
    )
    assert (late.result, late.degraded, late.because) == ("timeout", True, "no result in 20 ms")
    assert good.result == "pass"


async def test_a_check_gets_no_more_time_than_is_left_for_the_question() -> None:
    clock = FrozenClock()
    pipeline = Pipeline([(Waiting("late", never), CheckPolicy(time_budget_ms=60_000))], Degradation(), clock)
    (late,) = await pipeline.run(Stage.MESSAGE, a_mail(examine_until=clock.monotonic() + 0.02))
    assert (late.result, late.because) == ("timeout", "no result in 20 ms")
    (late,) = await pipeline.run(Stage.MESSAGE, a_mail(examine_until=clock.monotonic() - 1))
    assert (late.result, late.because) == ("timeout", "no result in 0 ms")


async def test_a_check_that_can_answer_at_once_needs_no_task() -> None:
    check = Quick(lambda: Finding("quick", "pass"))
    await run(check, Waiting("a", finding_of("a")), Waiting("b", finding_of("b")))
    assert check.task is asyncio.current_task()


async def test_a_quick_check_that_must_wait_is_waited_for() -> None:
    def act() -> Finding | None:
        raise MustWait

    (finding,) = await run(Quick(act))
    assert finding.result == "waited for"


@pytest.mark.parametrize(
    ("policy", "refuses", "score"),
    [
        pytest.param(CheckPolicy(on_error=OnError.ACCEPT, error_score=3), False, 0, id="accept"),
        pytest.param(CheckPolicy(on_error=OnError.TEMPFAIL), True, 0, id="tempfail"),
        pytest.param(CheckPolicy(on_error=OnError.SCORE, error_score=3), False, 3, id="score"),
    ],
)
async def test_the_failure_policy_decides_what_a_broken_check_means(
    policy: CheckPolicy, refuses: bool, score: float
) -> None:
    (finding,) = await run(Waiting("broken", raising), policy=policy)
    assert (finding.refuse_with == TRY_LATER, finding.score) == (refuses, score)


async def test_it_also_decides_for_a_check_that_says_itself_that_it_could_not_work() -> None:
    async def act() -> Finding | None:
        return Finding("dns", "temperror", degraded=True)

    (finding,) = await run(Waiting("dns", act), policy=CheckPolicy(on_error=OnError.TEMPFAIL))
    assert (finding.result, finding.refuse_with) == ("temperror", TRY_LATER)


async def test_time_taken_is_noted() -> None:
    late, quick = await run(
        Waiting("late", never), Quick(lambda: Finding("quick", "pass")), policy=CheckPolicy(time_budget_ms=20)
    )
    assert late.elapsed_ms > 15  # timers may fire a little early
    assert quick.elapsed_ms < late.elapsed_ms


async def test_degraded_checks_can_be_seen() -> None:
    degradation = Degradation()
    pipeline = Pipeline(
        [(Waiting("broken", raising), CheckPolicy()), (Waiting("good", finding_of("good")), CheckPolicy())],
        degradation,
        FrozenClock(),
    )
    for _ in range(2):
        await pipeline.run(Stage.MESSAGE, a_mail())
    assert degradation.details() == {"degraded.broken": "2 of 2"}


async def test_when_the_question_is_given_up_its_checks_are_too() -> None:
    ended = asyncio.Event()

    async def act() -> Finding | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    asking = asyncio.create_task(run(Waiting("a", act), Waiting("b", act)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ended.is_set()
