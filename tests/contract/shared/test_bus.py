"""One behaviour suite for the bus, on the fake and on NATS."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
import structlog

from servers import NatsServer
from tripost_shared.bus import unanswered
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import Bus, NoAnswer, QuestionTooLarge
from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.failures import TransientFailure
from tripost_shared.settings import CommonSettings


class Sum(msgspec.Struct, frozen=True):
    numbers: tuple[int, ...]


class Total(msgspec.Struct, frozen=True):
    total: int
    by: str = ""


ADD = Subject("test.v1.add", Sum, Total, "test", timedelta(seconds=5), timedelta(seconds=2))
HURRIED = Subject("test.v1.hurried", Sum, Total, "test", timedelta(seconds=0.4), timedelta(seconds=0.1))
PATIENT = Subject("test.v1.patient", Sum, Total, "test", timedelta(seconds=5), timedelta(seconds=0.1))


@pytest.fixture(params=["memory", "nats"])
async def buses(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[list[Bus]]:
    """The asker's bus and two replicas' buses."""
    if request.param == "memory":
        bus = MemoryBus()
        yield [bus, bus, bus]
        return
    settings = CommonSettings(nats_url=nats_server.url)
    links = [await NatsLink.connect(settings, name) for name in ("asker", "one", "two")]
    yield [NatsBus(link) for link in links]
    for link in links:
        await link.close()


async def add(question: Sum) -> Total:
    return Total(sum(question.numbers))


async def test_a_question_gets_its_answer(buses: list[Bus]) -> None:
    asker, one, _ = buses
    await one.serve(ADD, add)
    assert await asker.ask(ADD, Sum((1, 2, 3))) == Total(6)


async def test_many_questions_at_once_get_each_its_own_answer(buses: list[Bus]) -> None:
    asker, one, two = buses
    await one.serve(ADD, add)
    await two.serve(ADD, add)
    answers = await asyncio.gather(*(asker.ask(ADD, Sum((number,))) for number in range(500)))
    assert [answer.total for answer in answers] == list(range(500))


async def test_nobody_serving_a_subject_is_no_answer(buses: list[Bus]) -> None:
    with pytest.raises(NoAnswer, match=r"test\.v1\.add"):
        await buses[0].ask(ADD, Sum((1,)))


async def test_a_question_that_is_too_large_is_told_from_one_that_nobody_answers(buses: list[Bus]) -> None:
    asker, one, _ = buses
    await one.serve(ADD, add)
    if isinstance(asker, MemoryBus):
        asker.most_octets = 8 << 20  # as the test's nats-server
    with pytest.raises(QuestionTooLarge, match=r"test\.v1\.add"):
        await asker.ask(ADD, Sum((1,) * (9 << 20)))
    assert await asker.ask(ADD, Sum((1,) * 1000)) == Total(1000)


async def test_a_handler_that_fails_is_no_answer_and_names_the_error_only(buses: list[Bus]) -> None:
    asker, one, _ = buses

    async def fail(question: Sum) -> Total:
        raise ValueError("a secret")

    await one.serve(ADD, fail)
    with pytest.raises(NoAnswer, match="ValueError") as caught:
        await asker.ask(ADD, Sum((1,)))
    assert "secret" not in str(caught.value)


async def test_failures_that_are_expected_are_one_line_without_a_trace_and_told_to_the_asker(
    buses: list[Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may come with every question, as while a database is away."""
    asker, one, _ = buses

    async def fail(question: Sum) -> Total:
        raise TransientFailure(because="too many wait")

    await one.serve(ADD, fail)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(NoAnswer, match="too many wait"):
                await asker.ask(ADD, Sum((1,)))
        monkeypatch.setattr(unanswered, "SAY_AGAIN_SECONDS", 0.0)
        with pytest.raises(NoAnswer):
            await asker.ask(ADD, Sum((1,)))
    line = {
        "event": "question not answered",
        "log_level": "warning",
        "subject": "test.v1.add",
        "because": "too many wait",
    }
    assert logs == [line, {**line, "others_before": 2}]


async def test_a_silent_replica_is_given_up_at_the_deadline(buses: list[Bus]) -> None:
    asker, one, _ = buses

    async def sleep(question: Sum) -> Total:
        await asyncio.sleep(3600)
        return Total(0)

    await one.serve(HURRIED, sleep)
    with pytest.raises(NoAnswer, match="no answer within"):
        await asker.ask(HURRIED, Sum((1,)))


async def test_a_silent_replica_is_made_up_for_by_a_second_try(buses: list[Bus]) -> None:
    asker, one, _ = buses
    tries = 0

    async def silent_once(question: Sum) -> Total:
        nonlocal tries
        tries += 1
        if tries == 1:
            await asyncio.sleep(3600)
        return Total(sum(question.numbers))

    await one.serve(PATIENT, silent_once)
    assert await asker.ask(PATIENT, Sum((1, 2))) == Total(3)
    assert tries == 2


async def test_a_slow_first_answer_is_still_taken_after_the_second_try(buses: list[Bus]) -> None:
    asker, one, _ = buses
    asked_twice = asyncio.Event()
    tries = 0

    async def first_is_slow(question: Sum) -> Total:
        nonlocal tries
        tries += 1
        if tries == 2:
            asked_twice.set()
            await asyncio.sleep(3600)
        await asked_twice.wait()
        return Total(1, by="first")

    await one.serve(PATIENT, first_is_slow)
    assert (await asker.ask(PATIENT, Sum(()))).by == "first"


async def test_replicas_share_the_questions(buses: list[Bus]) -> None:
    asker, one, two = buses
    seen = {"one": 0, "two": 0}

    def replica(name: str) -> object:
        async def handler(question: Sum) -> Total:
            seen[name] += 1
            return Total(0, by=name)

        return handler

    await one.serve(ADD, replica("one"))  # type: ignore[arg-type]  # a handler, made for each name
    await two.serve(ADD, replica("two"))  # type: ignore[arg-type]  # as above
    await asyncio.gather(*(asker.ask(ADD, Sum(())) for _ in range(100)))
    assert sum(seen.values()) == 100
    assert min(seen.values()) > 0


async def test_all_instances_answer_a_gathering(buses: list[Bus]) -> None:
    asker, one, two = buses
    await one.serve_all("test.v1.who", lambda: Total(1, by="one"))
    await two.serve_all("test.v1.who", lambda: Total(1, by="two"))
    answers = await asker.gather("test.v1.who", Total, timedelta(seconds=0.3))
    assert sorted(answer.by for answer in answers) == ["one", "two"]


async def test_a_gathering_without_instances_is_empty(buses: list[Bus]) -> None:
    assert await buses[0].gather("test.v1.who", Total, timedelta(seconds=5)) == []


async def test_draining_finishes_the_questions_at_hand(buses: list[Bus]) -> None:
    asker, one, _ = buses
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def wait(question: Sum) -> Total:
        begun.set()
        await go_on.wait()
        return Total(7)

    await one.serve(ADD, wait)
    asking = asyncio.create_task(asker.ask(ADD, Sum(())))
    await begun.wait()
    draining = asyncio.create_task(one.drain())
    go_on.set()
    await draining
    assert await asking == Total(7)
    with pytest.raises(NoAnswer):
        await asker.ask(ADD, Sum(()))
