"""The link and the bus when nats-server is killed, frozen, started late, or does not know us."""

import asyncio
import os
import signal
from datetime import timedelta

import msgspec
import pytest

from links import PARTITIONS, SMALL, settings_for, until
from servers import NatsServer
from spooled import spooled_message
from tripost_shared.bus import nats_bus, nats_client
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import LinkDown, NatsLink
from tripost_shared.bus.port import NoAnswer
from tripost_shared.contracts.subject import Subject
from tripost_shared.provision import provision
from tripost_shared.spool import jetstream as spool_module
from tripost_shared.spool.jetstream import JetStreamSpool
from tripost_shared.spool.port import SpoolUnavailable


class Word(msgspec.Struct, frozen=True):
    text: str


ECHO = Subject("test.v1.echo", Word, Word, "test", timedelta(seconds=5), timedelta(seconds=2))


async def echo(question: Word) -> Word:
    return question


async def test_the_bus_fails_fast_without_a_server_and_asks_again_after_it_is_back(
    own_server: NatsServer, own_link: NatsLink
) -> None:
    asker, replica = NatsBus(own_link), await NatsLink.connect(settings_for(own_server), "replica")
    await NatsBus(replica).serve(ECHO, echo)
    assert await asker.ask(ECHO, Word("before")) == Word("before")
    own_server.kill()
    await until(lambda: not own_link.is_connected and not replica.is_connected)
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer, match="not connected"):
        await asker.ask(ECHO, Word("lost"))
    assert asyncio.get_running_loop().time() - began < 2
    assert not asker.is_connected
    await asyncio.to_thread(own_server.start)
    assert await own_link.wait_connected(10)
    assert await replica.wait_connected(10)
    assert await asker.ask(ECHO, Word("after")) == Word("after")
    await replica.close()


async def test_a_question_outlives_a_short_restart_of_the_server(
    own_server: NatsServer, own_link: NatsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_bus, "PATIENCE_SECONDS", 4.5)  # on a busy machine a restart takes longer
    replica = await NatsLink.connect(settings_for(own_server), "replica")
    await NatsBus(replica).serve(ECHO, echo)
    own_server.kill()
    asking = [asyncio.create_task(NatsBus(own_link).ask(ECHO, Word(str(number)))) for number in range(20)]
    await asyncio.to_thread(own_server.start)
    assert await asyncio.gather(*asking) == [Word(str(number)) for number in range(20)]
    await replica.close()


async def test_connecting_waits_for_a_server_that_starts_late(own_server: NatsServer) -> None:
    own_server.kill()
    connecting = asyncio.create_task(NatsLink.connect(settings_for(own_server), "early"))
    await asyncio.sleep(0)
    await asyncio.to_thread(own_server.start)
    async with asyncio.timeout(10):
        link = await connecting
    assert link.is_connected
    await link.close()
    await link.close()
    with pytest.raises(LinkDown):
        link.publish("a", b"")


async def test_who_waits_for_a_server_can_be_stopped(own_server: NatsServer) -> None:
    """A service that is told to end while it starts ends."""
    own_server.kill()
    connecting = asyncio.create_task(NatsLink.connect(settings_for(own_server), "early"))
    await asyncio.wait({connecting}, timeout=0.3)
    connecting.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait({connecting})
    assert connecting.cancelled()


async def test_a_wrong_password_is_no_reason_to_give_up() -> None:
    """The operator mends the server's users, and the service goes on."""
    users = 'authorization { users: [ { user: "test", password: "right" } ] }'
    with NatsServer(extra=users) as server:
        connecting = asyncio.create_task(NatsLink.connect(settings_for(server), "test"))
        done, _ = await asyncio.wait({connecting}, timeout=0.5)
        assert not done
        server.replace_extra("")
        server.kill()
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            link = await connecting
        assert link.is_connected
        server.replace_extra(users)
        server.kill()
        await asyncio.to_thread(server.start)
        await until(lambda: not link.is_connected)
        server.replace_extra("")
        server.kill()
        await asyncio.to_thread(server.start)
        assert await link.wait_connected(10)
        await link.close()


async def test_a_frozen_server_is_noticed_and_taken_up_again(
    own_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end sees the connection break: only the pings tell."""
    monkeypatch.setattr(nats_client, "PING_SECONDS", 0.1)
    monkeypatch.setattr(spool_module, "GIVE_UP_SECONDS", 1.0)
    link = await NatsLink.connect(settings_for(own_server), "test")
    await provision(link, settings_for(own_server), SMALL)
    spool = JetStreamSpool(link, PARTITIONS)
    os.kill(own_server.process_id, signal.SIGSTOP)
    try:
        with pytest.raises(SpoolUnavailable):
            await asyncio.gather(*(spool.publish(spooled_message(number)) for number in range(2000)))
        await until(lambda: not link.is_connected)
    finally:
        os.kill(own_server.process_id, signal.SIGCONT)
    assert await link.wait_connected(10)
    monkeypatch.setattr(spool_module, "GIVE_UP_SECONDS", 20.0)  # it works off what had been sent first
    await spool.publish(spooled_message(1))
    await link.close()
