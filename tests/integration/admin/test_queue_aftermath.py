"""What follows an operation on the queue: its facts reach the event log, what was dropped is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from admin_api import Api, eventually
from admin_queue import V1, queued, states
from tripost_admin_api.configuration.changes import Change
from tripost_admin_api.configuration.queue_facts import AT_ONCE, FactPublisher
from tripost_admin_api.configuration.queue_operations import Operation, operate
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.content.forgetting import FORGET_AFTER
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.database.models import QueueFact
from tripost_shared.database.transactions import DatabaseUnavailable


@asynccontextmanager
async def running(publisher: FactPublisher) -> AsyncIterator[None]:
    """Let it publish; at the end it has finished its work with the database."""
    task = asyncio.create_task(publisher.run())
    yield
    publisher.stop()
    async with asyncio.timeout(10):
        await task


async def refused(_facts: Sequence[Event]) -> None:
    """Answer as a cluster that takes no facts."""
    raise ClusterUnavailable("told to refuse")


async def waiting(api: Api) -> int:
    """How many facts wait in the database."""
    async with api.parts.database.reading() as session:
        return await session.scalar(select(func.count()).select_from(QueueFact)) or 0


async def test_what_an_operator_did_is_told_at_once_and_once(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"), ("cat@c.example", "deferred"))
    async with running(api.parts.facts):
        for operation in ("hold", "release", "retry", "drop"):
            api.clock.advance(timedelta(minutes=1))
            done = await api.admin.post(f"{V1}/{identifier}/{operation}", json={"recipients": ["bob@b.example"]})
            assert done.status_code == 200
        await eventually(lambda: len(api.cluster.events.events) == 3)
    told = sorted(api.cluster.events.events, key=lambda event: event.at)
    assert [(event.fact, event.recipient, event.stage, event.detail) for event in told] == [
        (fact, "bob@b.example", "queue", "by token tests-admin") for fact in (Fact.HELD, Fact.RELEASED, Fact.DISCARDED)
    ]
    assert told[-1].at == api.clock.now()
    assert {event.message_id for event in told} == {identifier}
    assert await waiting(api) == 0


async def test_a_drop_holds_although_nats_is_away_and_is_told_when_it_is_back(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"))
    api.cluster.is_connected = False
    async with running(api.parts.facts):
        assert (await api.admin.post(f"{V1}/{identifier}/drop")).status_code == 200
        assert (await api.reader.get(f"{V1}/{identifier}")).status_code == 404
        assert api.cluster.events.events == []
        api.cluster.regain()
        await eventually(lambda: len(api.cluster.events.events) == 1)
    assert await waiting(api) == 0


async def test_what_a_process_did_not_live_to_tell_another_one_tells(api: Api) -> None:
    identifier = await queued(api, *((f"user{number}@b.example", "held") for number in range(150)))
    assert (await api.admin.post(f"{V1}/{identifier}/drop")).status_code == 200
    async with running(FactPublisher(api.parts.database, api.cluster)):
        await eventually(lambda: len(api.cluster.events.events) == 150)
    assert await waiting(api) == 0


async def test_an_operation_that_is_not_committed_is_not_told(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "deferred"))

    @asynccontextmanager
    async def not_committed() -> AsyncIterator[Change]:
        async with api.parts.database.changing("tests") as change:
            yield change
            raise DatabaseUnavailable("told to be away")

    with pytest.raises(DatabaseUnavailable):
        await operate(not_committed(), Operation.DROP, identifier, frozenset(), "tests")
    assert await waiting(api) == 0
    assert await states(api, identifier) == {"bob@b.example": "deferred"}


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_fact_that_the_log_does_not_acknowledge_is_told_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """Its acknowledgement may have got lost: it comes again under the same id then."""
    identifier = await queued(api, ("bob@b.example", "deferred"))
    whole = api.cluster.publish_facts
    failures = [1]

    async def unacknowledged(facts: Sequence[Event]) -> None:
        if is_kept or not failures:
            await whole(facts)
        if failures:
            failures.pop()
            raise RuntimeError("nobody thought of it")

    monkeypatch.setattr(api.cluster, "publish_facts", unacknowledged)
    async with running(api.parts.facts):
        await api.admin.post(f"{V1}/{identifier}/drop")
        await eventually(lambda: not failures)
        api.cluster.regain()
        await eventually(lambda: len(api.cluster.events.events) == (2 if is_kept else 1))
    assert len({event.id for event in api.cluster.events.events}) == 1
    assert await waiting(api) == 0


async def test_a_fact_that_only_a_later_release_knows_stays_and_keeps_no_other_back(api: Api) -> None:
    """As after a return to the release before; the log tells of it once."""
    async with api.parts.database.writing() as session:
        for number in range(AT_ONCE):
            named = {"message_id": "1k3v9q2m8f0abcde.1", "recipient": "bob@b.example", "fact": "requeued"}
            session.add(QueueFact(id=f"{number:032x}", at=api.clock.now(), **named))
    await api.admin.post(f"{V1}/{await queued(api, ('cat@c.example', 'held'))}/release")
    with capture_logs() as logs:
        async with running(api.parts.facts):
            await eventually(lambda: len(api.cluster.events.events) == 1)
            await api.admin.post(f"{V1}/{await queued(api, ('dan@d.example', 'held'))}/release")
            await eventually(lambda: len(api.cluster.events.events) == 2)
    assert await waiting(api) == AT_ONCE
    told = [entry["fact"] for entry in logs if entry["log_level"] == "error"]
    assert told == ["requeued"] * AT_ONCE
    assert api.parts.troubles() == []


async def test_facts_that_cannot_be_told_for_long_are_a_trouble(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.admin.post(f"{V1}/{await queued(api, ('bob@b.example', 'held'))}/release")
    monkeypatch.setattr(api.cluster, "publish_facts", refused)
    assert api.parts.troubles() == []
    async with running(api.parts.facts):
        while not api.parts.troubles():
            api.parts.facts.publish_soon()
            await asyncio.sleep(0.01)
        assert "what was done to queued mail not told" in api.parts.troubles()[0]
        monkeypatch.undo()
        api.parts.facts.publish_soon()
        await eventually(lambda: api.parts.troubles() == [])
    assert await waiting(api) == 0


async def test_what_was_dropped_is_readable_for_a_while(api: Api) -> None:
    """As what domains has settled is: another instance of it may be about to read it."""
    dropped, kept = await queued(api, ("bob@b.example", "held")), await queued(api, ("bob@b.example", "held"))
    assert (await api.admin.post(f"{V1}/{dropped}/drop")).status_code == 200
    await api.parts.dropped.forget_due()
    assert {stored.name for stored in await api.cluster.content.list()} == {dropped, kept}
    api.clock.advance(FORGET_AFTER)
    await api.parts.dropped.forget_due()
    assert {stored.name for stored in await api.cluster.content.list()} == {kept}


async def test_what_is_queued_again_since_it_was_dropped_is_kept(api: Api) -> None:
    identifier = await queued(api, ("bob@b.example", "held"))
    await api.admin.post(f"{V1}/{identifier}/drop")
    await queued(api, ("bob@b.example", "held"), identifier=identifier)
    api.clock.advance(FORGET_AFTER)
    await api.parts.dropped.forget_due()
    assert [stored.name for stored in await api.cluster.content.list()] == [identifier]


async def test_dropped_content_is_forgotten_whatever_failed_before(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tripost_admin_api.configuration.dropped_contents.FORGET_EVERY", timedelta(milliseconds=5))
    identifier = await queued(api, ("bob@b.example", "held"))
    await api.admin.post(f"{V1}/{identifier}/drop")
    api.clock.advance(FORGET_AFTER)
    reading, failures = api.parts.database.reading, [RuntimeError("nobody thought of it"), DatabaseUnavailable("away")]

    def failing_at_first() -> AbstractAsyncContextManager[AsyncSession]:
        if failures:
            raise failures.pop()
        return reading()

    monkeypatch.setattr(api.parts.database, "reading", failing_at_first)
    forgetting = asyncio.create_task(api.parts.dropped.run())
    async with asyncio.timeout(10):
        while await api.cluster.content.list():  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.005)
    assert failures == []
    forgetting.cancel()
    await asyncio.wait({forgetting})
