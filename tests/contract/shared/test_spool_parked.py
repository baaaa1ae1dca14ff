"""Mail that could not be read is looked at, spooled again when it can be, or dropped, by a command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from contents import read_all
from links import PARTITIONS, provisioned_link
from servers import NatsServer, free_port
from spooled import damaged_message, spooled_message
from tripost_shared.bus import jetstream
from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.jetstream import JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentUnavailable
from tripost_shared.content.writer import STREAM, ObjectWriter
from tripost_shared.mail.content import Content
from tripost_shared.spool import jetstream as spool_jetstream
from tripost_shared.spool import parked as parked_module
from tripost_shared.spool.bundle import MAX_MESSAGES
from tripost_shared.spool.jetstream import (
    UNREADABLE_STREAM,
    UNREADABLE_SUBJECT,
    JetStreamSpool,
    JetStreamSpoolReader,
)
from tripost_shared.spool.port import SpoolUnavailable

WAIT = timedelta(seconds=5)
NOT_LONG = timedelta(seconds=0.2)
BUNDLE = msgspec.msgpack.encode([msgspec.Raw(encode(spooled_message(number))) for number in range(2)])
HALF = msgspec.msgpack.encode([msgspec.Raw(encode(spooled_message(8))), msgspec.Raw(damaged_message(9))])


@pytest.fixture
async def link(link: NatsLink) -> NatsLink:
    """A link to a server on which four are parked: a message, a bundle, and two that nobody can read."""
    for payload in (encode(spooled_message(7)), BUNDLE, b"garbage", HALF):
        await jetstream.publish(link, UNREADABLE_SUBJECT, payload)
    return link


@pytest.fixture
async def just_parked(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NatsLink]:
    """A link to a server on which three messages are parked that edge has spooled just now.

    Domains was of an older release, which could not read them.
    """

    def unreadable(payload: bytes) -> list[bytes]:
        return [bytes(part) for part in decode(payload, list[msgspec.Raw])]

    async with provisioned_link(nats_server) as link:
        edges = JetStreamSpool(link, PARTITIONS, MAX_MESSAGES)
        await asyncio.gather(*(edges.publish(spooled_message(number)) for number in range(3)))
        reader = JetStreamSpoolReader(link, PARTITIONS)
        with monkeypatch.context() as patch:
            patch.setattr(spool_jetstream, "opened", unreadable)
            assert await reader.fetch(10, NOT_LONG) == []
            async with asyncio.timeout(15):
                while await jetstream.count_messages(link, UNREADABLE_STREAM) < 3:
                    await reader.fetch(10, NOT_LONG)
        await reader.close()
        yield link


async def parked(server: NatsServer, *words: str) -> tuple[int, bytes, str]:
    """Run the command; gives its exit code, output and errors."""
    environment = {**os.environ, "TRIPOST_NATS_URL": server.url, "TRIPOST_SPOOL_PARTITIONS": str(PARTITIONS)}
    command = [sys.executable, "-m", "tripost_shared.spool.parked", *words]
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, timeout=30)
    return done.returncode, done.stdout, done.stderr.decode()


async def taken(link: NatsLink, count: int) -> list[str]:
    """Take so many messages from the spool, which has no more then; gives their ids."""
    reader = JetStreamSpoolReader(link, PARTITIONS)
    ids: list[str] = []
    async with asyncio.timeout(15):
        while len(ids) < count:
            for delivery in await reader.fetch(10, WAIT):
                ids.append(delivery.message.id)
                await delivery.done()
    assert await reader.fetch(10, NOT_LONG) == []
    await reader.close()
    return sorted(ids)


async def test_each_is_named_with_its_number_and_what_can_be_read_of_it(
    nats_server: NatsServer, link: NatsLink
) -> None:
    code, output, _ = await parked(nats_server)
    said = [line.partition("octets  ")[2] for line in output.decode().splitlines()]
    first, second, third = (spooled_message(number).id for number in (7, 0, 1))
    assert code == 0
    assert said == [f"can be read: {first}", f"can be read: {second} {third}", "cannot be read", "cannot be read"]
    assert [line.partition(" ")[0] for line in output.decode().splitlines()] == ["1", "2", "3", "4"]


async def test_the_octets_are_written_as_they_were_spooled(nats_server: NatsServer, link: NatsLink) -> None:
    assert (await parked(nats_server, "show", "3"))[:2] == (0, b"garbage")


async def test_what_can_be_read_is_spooled_again_and_the_rest_stays_whole(
    nats_server: NatsServer, link: NatsLink
) -> None:
    assert (await parked(nats_server, "retry"))[:2] == (0, b"3 spooled again, 2 parked still\n")
    assert await taken(link, 3) == sorted(spooled_message(number).id for number in (7, 0, 1))
    assert (await parked(nats_server, "show", "4"))[:2] == (0, HALF)


async def test_large_content_is_as_young_as_its_message_when_it_is_spooled_again(
    nats_server: NatsServer, link: NatsLink
) -> None:
    """Domains takes content for an orphan that is hours older than all in the spool."""
    store = ObjectContentStore(link)
    content = Content(size_octets=200_000, stored="large")
    writer = store.writer(content.stored)
    await writer.write(bytes(content.size_octets))
    await writer.commit()
    (former,) = await store.list()
    for stored in (content, Content(size_octets=1, stored="lost")):
        message = msgspec.structs.replace(spooled_message(5), id=f"1k3v9q2m8f0{stored.stored}.1", content=stored)
        await jetstream.publish(link, UNREADABLE_SUBJECT, encode(message))
    assert (await parked(nats_server, "retry"))[:2] == (0, b"5 spooled again, 2 parked still\n")
    (renewed,) = await store.list()
    assert renewed.stored_at > former.stored_at
    assert await read_all(store, content) == bytes(content.size_octets)
    assert await store.delete_orphans(timedelta(0)) == 0


async def test_content_that_cannot_be_stored_anew_now_leaves_no_second_one(
    link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectContentStore(link)
    content = Content(size_octets=200_000, stored="large")
    writer = store.writer(content.stored)
    await writer.write(bytes(content.size_octets))
    await writer.commit()
    stored = await jetstream.count_messages(link, STREAM)
    message = msgspec.structs.replace(spooled_message(5), content=content)
    await jetstream.publish(link, UNREADABLE_SUBJECT, encode(message))

    async def refused(_writer: ObjectWriter) -> Content:
        raise ContentUnavailable("the store is full")

    monkeypatch.setattr(ObjectWriter, "commit", refused)
    with pytest.raises(ContentUnavailable):
        await parked_module.retry(link, PARTITIONS)
    assert await jetstream.count_messages(link, STREAM) == stored
    assert await read_all(store, content) == bytes(content.size_octets)


async def test_one_is_dropped_for_good_and_no_other(nats_server: NatsServer, link: NatsLink) -> None:
    assert await parked(nats_server, "drop", "3") == (0, b"", "")
    assert await parked(nats_server, "drop", "3") == (3, b"", "tripost parked: nothing is parked as number 3\n")
    assert len((await parked(nats_server))[1].splitlines()) == 3


async def test_what_was_accepted_and_parked_a_moment_ago_is_spooled_again(
    nats_server: NatsServer, just_parked: NatsLink
) -> None:
    """The server knows edge's name for it still, and would keep nothing under that one."""
    assert (await parked(nats_server, "retry"))[:2] == (0, b"3 spooled again, 0 parked still\n")
    assert await taken(just_parked, 3) == sorted(spooled_message(number).id for number in range(3))


async def test_what_was_spooled_again_unheard_is_not_spooled_once_more(
    just_parked: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acknowledgement gets lost, and the operator retries."""
    link, publish = just_parked, jetstream.publish_once

    async def lossy(*arguments: Any) -> bool:
        await publish(*arguments)
        raise JetStreamUnavailable("the acknowledgement was lost")

    with monkeypatch.context() as patch:
        patch.setattr(jetstream, "publish_once", lossy)
        patch.setattr(spool_jetstream, "GIVE_UP_SECONDS", 0.0)
        with pytest.raises(SpoolUnavailable):
            await parked_module.retry(link, PARTITIONS)
    assert await parked_module.retry(link, PARTITIONS) == (3, 0)
    assert len(await taken(link, 3)) == 3


async def test_what_was_parked_twice_is_spooled_once(nats_server: NatsServer, link: NatsLink) -> None:
    await jetstream.publish(link, UNREADABLE_SUBJECT, encode(spooled_message(7)))
    assert (await parked(nats_server, "retry"))[:2] == (0, b"3 spooled again, 2 parked still\n")
    assert len(await taken(link, 3)) == 3


def test_where_no_server_can_be_reached_it_ends_and_says_so() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    hurried = """
import sys
from tripost_shared.spool import parked
parked.CONNECTED_WITHIN_SECONDS = 0.1
sys.exit(parked.main([]))
"""
    done = subprocess.run(
        [sys.executable, "-c", hurried],
        env={**os.environ, "TRIPOST_NATS_URL": url},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines()[-1].endswith(f"no NATS server can be reached: {url}")
