"""One behaviour suite for watched configuration, on the fake and on JetStream KV."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from config_publisher import KvConfigPublisher
from links import provisioned_link, settings_for
from servers import NatsServer
from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.config.kv import PREFIX, KvConfigSource
from tripost_shared.config.memory import MemoryConfig
from tripost_shared.config.port import ConfigPublisher, ConfigSource, Watched
from tripost_shared.contracts.config import EDGE_KEY, FILTER_KEY, EdgeConfig, FilterConfig
from tripost_shared.provision import provision

PutOctets = Callable[[str, bytes], Awaitable[None]]
Parts = tuple[ConfigSource, ConfigPublisher, PutOctets]


@pytest.fixture(params=["memory", "jetstream"])
async def parts(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Parts]:
    if request.param == "memory":
        config = MemoryConfig()

        async def put(key: str, value: bytes) -> None:
            config.put_octets(key, value)

        yield config, config, put
        return
    async with provisioned_link(nats_server) as link:

        async def publish(key: str, value: bytes) -> None:
            await jetstream.publish(link, PREFIX + key, value)

        source = KvConfigSource(link)
        yield source, KvConfigPublisher(link), publish
        await source.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.01)


async def until_current(watched: Watched[EdgeConfig], wanted: EdgeConfig) -> None:
    """A change is live in less than two seconds."""
    changed = asyncio.Event()
    watched.on_change(lambda _: changed.set())
    async with asyncio.timeout(2):
        while watched.current != wanted:
            await changed.wait()
            changed.clear()


async def test_a_key_without_value_has_the_defaults(parts: Parts) -> None:
    source, _, _ = parts
    assert (await source.watch(FILTER_KEY, FilterConfig)).current == FilterConfig()


async def test_a_value_that_is_there_is_known_at_once(parts: Parts) -> None:
    source, publisher, _ = parts
    await publisher.put(EDGE_KEY, EdgeConfig(revision=1, relay_networks=("192.0.2.0/24",)))
    assert (await source.watch(EDGE_KEY, EdgeConfig)).current.relay_networks == ("192.0.2.0/24",)


async def test_whoever_waits_until_a_key_is_known_learns_that_it_has_no_value(parts: Parts) -> None:
    source, _, _ = parts
    assert (await source.watch_known(FILTER_KEY, FilterConfig)).current == FilterConfig()


async def test_whoever_waits_until_a_key_is_known_is_given_no_default_for_garbage(parts: Parts) -> None:
    source, publisher, put_octets = parts
    await put_octets(EDGE_KEY, b"{")
    with capture_logs() as logs:
        waiting = asyncio.create_task(source.watch_known(EDGE_KEY, EdgeConfig))
        await until(lambda: any(log["event"].startswith("configuration cannot be read") for log in logs))
    assert not waiting.done()
    await publisher.put(EDGE_KEY, EdgeConfig(revision=2))
    async with asyncio.timeout(10):
        assert (await waiting).current == EdgeConfig(2)


async def test_configuration_is_waited_for_until_jetstream_is_there_and_outlives_it() -> None:
    """A tier that served on the defaults would take mail by other rules than the operator's."""
    with NatsServer() as server:
        link = await NatsLink.connect(settings_for(server), "test")
        await provision(link, settings_for(server))
        await KvConfigPublisher(link).put(EDGE_KEY, EdgeConfig(revision=5))
        await link.close()
        server.kill()
        configuration = server.folder / "nats-server.conf"
        configuration.write_text(f"host: 127.0.0.1\nport: {server.port}\n")  # without JetStream
        server.start()
        link = await NatsLink.connect(settings_for(server), "test")
        source = KvConfigSource(link)
        with capture_logs() as logs:
            waiting = asyncio.create_task(source.watch_known(EDGE_KEY, EdgeConfig))
            await until(lambda: any(log["event"] == "waiting for configuration" for log in logs))
        assert {log["key"] for log in logs if log["event"] == "waiting for configuration"} == {EDGE_KEY}
        assert not waiting.done()
        server.kill()
        server.replace_extra("")
        server.start()
        async with asyncio.timeout(20):
            watched = await waiting
        assert watched.current == EdgeConfig(5)
        server.kill()
        await until(lambda: not link.is_connected)
        with capture_logs() as logs:
            source._hint.set()
            await until(lambda: any(log["event"] == "configuration could not be read now" for log in logs))
        assert watched.current == EdgeConfig(5)
        await source.close()
        await link.close()


async def test_a_change_reaches_all_watchers(parts: Parts) -> None:
    source, publisher, _ = parts
    first = await source.watch(EDGE_KEY, EdgeConfig)
    second = await source.watch(EDGE_KEY, EdgeConfig)
    for revision in (1, 2):
        await publisher.put(EDGE_KEY, EdgeConfig(revision))
        await until_current(first, EdgeConfig(revision))
        await until_current(second, EdgeConfig(revision))
        assert (first.current, second.current) == (EdgeConfig(revision), EdgeConfig(revision))


@pytest.mark.parametrize(
    "garbage", [b"{", b'{"revision": "x"}', b"", b"\xff", b'{"relay_networks": ["\xff"]}', b"[" * 100_000]
)
async def test_garbage_leaves_the_last_good_snapshot(parts: Parts, garbage: bytes) -> None:
    source, publisher, put_octets = parts
    await publisher.put(EDGE_KEY, EdgeConfig(1))
    watched = await source.watch(EDGE_KEY, EdgeConfig)
    await put_octets(EDGE_KEY, garbage)
    assert watched.current == EdgeConfig(1)
    await publisher.put(EDGE_KEY, EdgeConfig(3))
    await until_current(watched, EdgeConfig(3))


async def test_a_listener_that_fails_does_not_end_the_watch(parts: Parts) -> None:
    source, publisher, _ = parts
    watched = await source.watch(EDGE_KEY, EdgeConfig)

    def fail(snapshot: EdgeConfig) -> None:
        raise ValueError(snapshot.revision)

    watched.on_change(fail)
    await publisher.put(EDGE_KEY, EdgeConfig(1))
    other = await source.watch(EDGE_KEY, EdgeConfig)
    await publisher.put(EDGE_KEY, EdgeConfig(2))
    await until_current(other, EdgeConfig(2))
    assert watched.current == EdgeConfig(2)


async def test_values_are_json_that_operators_can_read(link: NatsLink) -> None:
    await KvConfigPublisher(link).put(EDGE_KEY, EdgeConfig(4))
    message = await jetstream.last_message(link, "KV_CONFIG", PREFIX + EDGE_KEY)
    assert message is not None
    stored = json.loads(message.data)
    assert (stored["revision"], stored["relay_networks"]) == (4, [])
