"""What only the JetStream adapters of SPOOL and of the bus can show: limits, damage, load."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from links import PARTITIONS, SMALL, provisioned_link, settings_for, until
from servers import NatsServer
from spooled import damaged_message, spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import encode
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.contracts.events import EVENTS_SUBJECT, Event, EventBatch, Fact
from tripost_shared.contracts.spool import SPOOL_SUBJECT
from tripost_shared.contracts.subject import Subject
from tripost_shared.provision import Sizes
from tripost_shared.spool import jetstream as spool_jetstream
from tripost_shared.spool import trimming
from tripost_shared.spool.events import CONSUMER, DURABLE, FACTS_ACK_WAIT_SECONDS
from tripost_shared.spool.jetstream import (
    LONG_AGO,
    UNREADABLE_STREAM,
    UNREADABLE_SUBJECT,
    JetStreamEventLog,
    JetStreamEventReader,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.port import EventBatchDelivery, MessageTooLarge, SpoolFull

FACT = Event("e", "m", datetime(2026, 1, 1, tzinfo=UTC), Fact.ACCEPTED, "edge")
UNREADABLE = pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param(b"garbage", id="another form"),
        pytest.param(damaged_message(2), id="text that is not UTF-8"),
    ],
)
WAIT = timedelta(seconds=5)
NOT_LONG = timedelta(seconds=0.3)


class Word(msgspec.Struct, frozen=True):
    text: str


ECHO = Subject("test.v1.echo", Word, Word, "test", timedelta(seconds=5), timedelta(seconds=2))


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_SECONDS", 0.05)


async def messages_in(link: NatsLink, stream: str) -> int:
    count: int = (await jetstream.call(link, f"STREAM.INFO.{stream}"))["state"]["messages"]
    return count


async def until_there_are(link: NatsLink, count: int, stream: str) -> None:
    async with asyncio.timeout(10):
        while await messages_in(link, stream) != count:  # noqa: ASYNC110 (another process is waited for)
            await asyncio.sleep(0.02)


async def test_a_full_spool_says_so_and_takes_mail_again_when_some_is_done(nats_server: NatsServer) -> None:
    sizes = Sizes(64 << 10, SMALL.content, SMALL.events, SMALL.greylist, SMALL.unreadable)
    async with provisioned_link(nats_server, sizes) as link:
        spool, reader = JetStreamSpool(link, PARTITIONS), JetStreamSpoolReader(link, PARTITIONS)
        published: set[str] = set()
        with pytest.raises(SpoolFull):  # noqa: PT012 (which one finds it full depends on the messages' size)
            for number in range(1, 1000):
                await spool.publish(spooled_message(number))
                published.add(spooled_message(number).id)
        taken: set[str] = set()
        while taken != published:
            for delivery in await reader.fetch(64, WAIT):
                taken.add(delivery.message.id)
                await delivery.done()
        for partition in range(PARTITIONS):
            await until_there_are(link, 0, f"SPOOL_{partition}")
        await spool.publish(spooled_message(1000))
        await reader.close()


async def test_a_message_that_nats_will_never_take_is_refused_at_once(link: NatsLink) -> None:
    with pytest.raises(MessageTooLarge, match="by reference"):
        await JetStreamSpool(link, PARTITIONS).publish(spooled_message(1, size_octets=link.max_payload_octets))


@UNREADABLE
async def test_a_message_that_cannot_be_read_is_parked_and_the_others_come(link: NatsLink, unreadable: bytes) -> None:
    reader = JetStreamSpoolReader(link, PARTITIONS)
    await jetstream.publish(link, f"{SPOOL_SUBJECT}.0", unreadable)
    await JetStreamSpool(link, PARTITIONS).publish(spooled_message(1))
    (delivery,) = await reader.fetch(64, WAIT)
    await delivery.done()
    assert await reader.fetch(64, NOT_LONG) == []
    await until_there_are(link, 1, UNREADABLE_STREAM)
    await until_there_are(link, 0, "SPOOL_0")
    parked = await jetstream.last_message(link, UNREADABLE_STREAM, UNREADABLE_SUBJECT)
    assert parked is not None
    assert parked.data == unreadable
    assert await reader.oldest_at() == LONG_AGO, "its content may be older than itself by as long as it waited"
    await reader.close()


async def test_an_unreadable_message_for_which_there_is_no_room_stays_until_there_is(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not thrown away, the others come meanwhile, and an operator sees how many are parked."""
    monkeypatch.setattr(spool_jetstream, "UNREADABLE_FULL_AGAIN", timedelta(seconds=0.1))
    stream = (await jetstream.call(link, f"STREAM.INFO.{UNREADABLE_STREAM}"))["config"]
    await jetstream.call(link, f"STREAM.UPDATE.{UNREADABLE_STREAM}", {**stream, "max_msgs": 1})
    await jetstream.publish(link, UNREADABLE_SUBJECT, b"earlier")
    reader = JetStreamSpoolReader(link, PARTITIONS)
    await jetstream.publish(link, f"{SPOOL_SUBJECT}.0", b"garbage")
    await JetStreamSpool(link, PARTITIONS).publish(spooled_message(1))
    (delivery,) = await reader.fetch(64, WAIT)
    await delivery.done()
    assert await reader.fetch(64, NOT_LONG) == []
    assert await reader.oldest_at() is not None
    await until(lambda: str(reader.state()) == "0 bundles wait, 1 attempted; 1 unreadable")
    await jetstream.call(link, f"STREAM.UPDATE.{UNREADABLE_STREAM}", {**stream, "max_msgs": -1})
    fetching = asyncio.create_task(reader.fetch(64, timedelta(seconds=20)))
    await until(lambda: str(reader.state()) == "0 bundles wait, 0 attempted; 2 unreadable")
    fetching.cancel()
    await reader.close()


async def test_a_message_that_a_stream_refuses_for_its_size_is_refused_as_such(link: NatsLink) -> None:
    for stream in ("SPOOL_0", "SPOOL_1"):
        config = (await jetstream.call(link, f"STREAM.INFO.{stream}"))["config"]
        await jetstream.call(link, f"STREAM.UPDATE.{stream}", {**config, "max_msg_size": 2000})
    with pytest.raises(MessageTooLarge, match="by reference"):
        await JetStreamSpool(link, PARTITIONS).publish(spooled_message(1))


async def test_two_readers_share_the_messages_and_one_that_closes_gives_its_own_back(
    link: NatsLink, nats_server: NatsServer
) -> None:
    other_link = await NatsLink.connect(settings_for(nats_server), "other")
    one, two = JetStreamSpoolReader(link, PARTITIONS), JetStreamSpoolReader(other_link, PARTITIONS)
    assert await one.fetch(64, NOT_LONG) == []
    for number in range(1, 21):
        await JetStreamSpool(link, PARTITIONS).publish(spooled_message(number))
    (first,) = await one.fetch(1, WAIT)
    await one.close()
    rest: list[str] = []
    async with asyncio.timeout(10):
        while len(rest) < 19:
            for delivery in await two.fetch(64, WAIT):
                rest.append(delivery.message.id)
                await delivery.done()
    assert {first.message.id, *rest} == {spooled_message(number).id for number in range(1, 21)}
    await two.close()
    await other_link.close()


@pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param(b"garbage", id="another form"),
        pytest.param(encode(EventBatch((FACT,))).replace(b"edge", b"\xffdge"), id="text that is not UTF-8"),
    ],
)
async def test_facts_that_cannot_be_read_are_dropped(link: NatsLink, unreadable: bytes) -> None:
    reader = JetStreamEventReader(link)
    await jetstream.publish(link, f"{EVENTS_SUBJECT}.edge", unreadable)
    assert await reader.fetch(16, NOT_LONG) == []
    await until_there_are(link, 0, "EVENTS")
    await reader.close()


async def test_facts_that_a_reader_had_at_hand_when_it_closed_come_to_the_next_one_at_once(link: NatsLink) -> None:
    """Until they are in the tracking, a message that comes again would be delivered again."""
    event_log, one, two = JetStreamEventLog(link, "edge"), JetStreamEventReader(link), JetStreamEventReader(link)
    for number in range(2):
        event_log.record(msgspec.structs.replace(FACT, id=f"e{number}"))
        await event_log.flush()
    at_hand: list[EventBatchDelivery] = []
    while len(at_hand) < 2:
        at_hand += await one.fetch(2, WAIT)
    await at_hand[0].done()
    await one.close()
    (again,) = await two.fetch(2, timedelta(seconds=15))
    assert [event.id for event in again.events] == ["e1"]
    await again.done()
    await until_there_are(link, 0, "EVENTS")
    await two.close()
    await event_log.close()


async def test_facts_of_a_killed_reader_come_soon_where_the_consumer_was_made_to_wait_longer(link: NatsLink) -> None:
    """Mail that may be repeated waits for them."""
    longer = {**CONSUMER, "durable_name": DURABLE, "ack_policy": "explicit", "ack_wait": 30 * jetstream.SECOND}
    await jetstream.call(link, f"CONSUMER.DURABLE.CREATE.EVENTS.{DURABLE}", {"stream_name": "EVENTS", "config": longer})
    reader = JetStreamEventReader(link)
    assert await reader.fetch(1, NOT_LONG) == []
    info = await jetstream.call(link, f"CONSUMER.INFO.EVENTS.{DURABLE}")
    assert info["config"]["ack_wait"] == FACTS_ACK_WAIT_SECONDS * jetstream.SECOND
    await reader.close()


async def test_facts_that_the_stream_keeps_although_they_are_done_with_are_not_waited_for(link: NatsLink) -> None:
    """A stream that met a full disk does; to it they are never gone. Here it keeps them since it is no work queue."""
    await jetstream.call(link, "STREAM.DELETE.EVENTS")
    kept = {"name": "EVENTS", "subjects": [f"{EVENTS_SUBJECT}.*"], "retention": "limits"}
    await jetstream.call(link, "STREAM.CREATE.EVENTS", kept)
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    event_log.record(FACT)
    await event_log.flush()
    assert not await reader.wait_until_done(NOT_LONG)
    (batch,) = await reader.fetch(1, WAIT)
    await batch.done()
    assert await reader.wait_until_done(WAIT)
    assert await messages_in(link, "EVENTS") == 1
    await reader.close()
    await event_log.close()


async def test_large_facts_travel_in_several_batches(link: NatsLink) -> None:
    event_log, reader = JetStreamEventLog(link, "edge"), JetStreamEventReader(link)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    facts = [Event(f"e{n}", "m", at, Fact.ACCEPTED, "edge", detail="x" * 600_000) for n in range(20)]
    for fact in facts:
        event_log.record(fact)
    event_log.record(Event("huge", "m", at, Fact.ACCEPTED, "edge", detail="x" * link.max_payload_octets))
    event_log.record(Event("last", "m", at, Fact.ACCEPTED, "edge"))
    came: list[str] = []
    async with asyncio.timeout(20):
        while "last" not in came:
            for batch in await reader.fetch(4, WAIT):
                came += [event.id for event in batch.events]
                await batch.done()
    assert came == [*(fact.id for fact in facts), "last"]
    await event_log.close()
    await reader.close()


async def test_a_replica_with_too_much_to_do_says_so(link: NatsLink) -> None:
    bus = NatsBus(link, at_once=2)
    go_on = asyncio.Event()

    async def wait(question: Word) -> Word:
        await go_on.wait()
        return question

    await bus.serve(ECHO, wait)
    asking = [asyncio.create_task(bus.ask(ECHO, Word(str(number)))) for number in range(3)]
    with pytest.raises(NoAnswer, match="busy"):
        await asking[2]
    go_on.set()
    assert [await each for each in asking[:2]] == [Word("0"), Word("1")]


async def test_answers_and_questions_past_what_nats_takes_are_told(link: NatsLink) -> None:
    bus = NatsBus(link)
    answer = Word("x" * link.max_payload_octets)

    async def too_much(question: Word) -> Word:
        return answer

    await bus.serve(ECHO, too_much)
    with pytest.raises(NoAnswer, match="too large"):
        await bus.ask(ECHO, Word("a"))
    with pytest.raises(NoAnswer, match="octets"):
        await bus.ask(ECHO, answer)


async def test_large_questions_and_answers_arrive_whole(link: NatsLink) -> None:
    bus = NatsBus(link)

    async def echo(question: Word) -> Word:
        return question

    await bus.serve(ECHO, echo)
    words = [Word(str(number) * 1_000_000) for number in range(8)]
    assert await asyncio.gather(*(bus.ask(ECHO, word) for word in words)) == words
