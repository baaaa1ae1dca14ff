"""What runs as long as the process does goes on after a failure that nobody expected."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import structlog

from links import PARTITIONS, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config import kv
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.spool import SPOOL_SUBJECT
from tripost_shared.spool import jetstream as spool_jetstream
from tripost_shared.spool import trimming
from tripost_shared.spool.jetstream import (
    UNREADABLE_STREAM,
    UNREADABLE_SUBJECT,
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)

WAIT = timedelta(seconds=5)
Answer = TypeVar("Answer")
Call = Callable[..., Awaitable[dict[str, Any]]]


def answers_without(field: str, endpoint: str, times: int) -> Call:
    """JetStream's API, but the first answers of one endpoint lack a field."""
    call, left = jetstream.call, times

    async def lacking(link: NatsLink, asked: str, *rest: Any, **options: Any) -> dict[str, Any]:
        nonlocal left
        answer = await call(link, asked, *rest, **options)
        if asked.startswith(endpoint) and left:
            left -= 1
            answer.pop(field)
        return answer

    return lacking


def publishing_that_breaks(publish: Callable[..., Awaitable[Answer]], subject: str) -> Callable[..., Awaitable[Answer]]:
    """Publishing with an acknowledgement, but the first message for a subject breaks it."""
    has_broken = False

    async def breaking(link: NatsLink, to: str, *rest: Any) -> Answer:
        nonlocal has_broken
        if to == subject and not has_broken:
            has_broken = True
            raise LookupError("nobody expected this")
        return await publish(link, to, *rest)

    return breaking


async def stored_in(link: NatsLink, stream: str) -> int:
    return await jetstream.count_messages(link, stream)


async def stored_in_spool(link: NatsLink) -> int:
    return sum([await stored_in(link, f"SPOOL_{partition}") for partition in range(PARTITIONS)])


@pytest.mark.parametrize(
    ("endpoint", "field", "told"),
    [
        pytest.param("CONSUMER.INFO.SPOOL_0", "ack_floor", "spool could not be trimmed", id="of a consumer"),
        pytest.param(
            f"STREAM.INFO.{UNREADABLE_STREAM}",
            "state",
            "spool could not be looked after",
            id="of the parked messages' stream",
        ),
    ],
)
async def test_the_spool_is_trimmed_again_after_an_answer_in_another_form(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch, endpoint: str, field: str, told: str
) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(jetstream, "call", answers_without(field, endpoint, times=2))
    reader = JetStreamSpoolReader(link, PARTITIONS)
    for number in range(4):
        await JetStreamSpool(link, PARTITIONS).publish(spooled_message(number))
    taken = 0
    with structlog.testing.capture_logs() as logs:
        while taken < 4:
            for delivery in await reader.fetch(64, WAIT):
                taken += 1
                await delivery.done()
        async with asyncio.timeout(10):
            while await stored_in_spool(link):  # noqa: ASYNC110 (a server trims at its leisure, and tells nobody)
                await asyncio.sleep(0.02)
        await until(lambda: sum(entry["log_level"] == "error" for entry in logs) == 2)
    assert {entry["event"] for entry in logs if entry["log_level"] == "error"} == {told}
    await reader.close()


async def test_a_spool_that_cannot_be_looked_after_is_told_in_the_status_until_it_can(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(trimming, "NEGLECTED_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(jetstream, "call", answers_without("ack_floor", "CONSUMER.INFO.SPOOL_0", times=12))
    reader = JetStreamSpoolReader(link, PARTITIONS)
    await reader.fetch(1, timedelta(0))
    await until(lambda: bool(reader.state().troubles))
    assert reader.state().troubles == ("neither watched nor trimmed: SPOOL_0: KeyError('ack_floor')",)
    await until(lambda: not reader.state().troubles)
    await reader.close()


async def test_a_configuration_that_cannot_be_read_is_told_in_the_status_until_it_can(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(kv, "TROUBLE_SECONDS", 0.1)
    source = kv.KvConfigSource(link)
    await source.watch_known(EDGE_KEY, EdgeConfig)
    assert source.trouble == ""
    last_message, is_broken = jetstream.last_message, True

    async def breaking(*asked: Any) -> jetstream.StoredMessage | None:
        if is_broken:
            raise LookupError("nobody expected this")
        return await last_message(*asked)

    monkeypatch.setattr(jetstream, "last_message", breaking)
    await until(lambda: source.trouble != "")
    assert "nobody expected this" in source.trouble
    is_broken = False
    await until(lambda: source.trouble == "")
    await jetstream.publish(link, kv.PREFIX + EDGE_KEY, b"garbage")
    await until(lambda: source.trouble != "")
    assert source.trouble == "configuration cannot be read, the last one stays in force: edge"
    await source.close()


async def test_a_consumer_is_looked_after_again_after_an_answer_in_another_form(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "call", answers_without("delivered", "CONSUMER.DURABLE.CREATE", times=PARTITIONS))
    reader = JetStreamSpoolReader(link, PARTITIONS)
    await JetStreamSpool(link, PARTITIONS).publish(spooled_message(1))
    with structlog.testing.capture_logs() as logs:
        (delivery,) = await reader.fetch(64, WAIT)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "consumer could not be looked after"
    ] * PARTITIONS
    await delivery.done()
    await reader.close()


async def test_facts_are_kept_and_written_after_a_failure_that_nobody_expected(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "publish_once", publishing_that_breaks(jetstream.publish_once, "events.v1.edge"))
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    event_log.record(Event("e1", "m", datetime(2026, 1, 1, tzinfo=UTC), Fact.ACCEPTED, "edge"))
    await event_log.flush()
    (batch,) = await reader.fetch(1, WAIT)
    assert [event.id for event in batch.events] == ["e1"]
    await batch.done()
    await event_log.close()
    await reader.close()


async def test_an_unreadable_message_that_could_not_be_parked_comes_again(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_jetstream, "UNREADABLE_AGAIN", timedelta(seconds=0.05))
    monkeypatch.setattr(jetstream, "publish", publishing_that_breaks(jetstream.publish, UNREADABLE_SUBJECT))
    await jetstream.publish(link, f"{SPOOL_SUBJECT}.0", b"garbage")
    reader = JetStreamSpoolReader(link, PARTITIONS)
    async with asyncio.timeout(10):
        while not await stored_in(link, UNREADABLE_STREAM):
            assert await reader.fetch(64, timedelta(seconds=0.05)) == []
    await reader.close()


async def test_one_who_listens_and_fails_keeps_neither_the_others_nor_the_connection_from_coming_back(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    def fail(message: Incoming | None = None) -> None:
        raise LookupError("nobody expected this")

    heard: list[str] = []
    own_link.after_regaining(fail)
    own_link.after_regaining(lambda: heard.append("regained"))
    own_link.begin("nobody.answers", b"", b"", lambda message: fail() if message is None else None)
    own_link.begin("nobody.answers", b"", b"", lambda message: heard.append("lost") if message is None else None)
    own_server.kill()
    await until(lambda: "lost" in heard)
    await asyncio.to_thread(own_server.start)
    await until(lambda: "regained" in heard)
    await own_link.flush()
    assert heard == ["lost", "regained"]
