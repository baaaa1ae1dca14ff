"""Limits of connections through real sockets, each with its reply, over two edges that share their counts."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import EdgeWorld, OtherTiers
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.mail.client import ListenerKind

Start = Callable[..., Awaitable[EdgeWorld]]
LIMIT = 40


def header(address: str) -> bytes:
    family, other = ("TCP6", "2001:db8::1") if ":" in address else ("TCP4", "192.0.2.1")
    return f"PROXY {family} {address} {other} 40000 25\r\n".encode()


async def connected(proxy: tuple[str, int], address: str = "192.0.2.55") -> tuple[Dialog, str]:
    """Connect as that client; gives the first reply."""
    client = await Dialog.open(proxy)
    client.send(header(address))
    return client, await client.read_reply()


@pytest.mark.parametrize(
    ("setting", "addresses", "refusal"),
    [
        pytest.param("sessions_per_network", ["192.0.2.55"], "421 4.7.0 Too many connections from your", id="address"),
        pytest.param("sessions_per_network", ["2001:db8::1", "2001:db8::2"], "421 4.7.0 Too many conn", id="IPv6 /64"),
        pytest.param(
            "sessions_per_wide_network",
            ["192.0.2.55", "192.0.2.56", "192.0.2.57", "192.0.2.58"],
            "421 4.7.0 Too many connections from networks near",
            id="IPv4 /24",
        ),
        pytest.param("sessions_of_all_edges", ["192.0.2.55", "198.51.100.7"], "421 4.3.2 Too many conn", id="in all"),
        pytest.param("connections_per_minute_of_network", ["192.0.2.55"], "421 4.7.0 You connect too often", id="rate"),
        pytest.param(
            "connections_per_minute_of_wide_network",
            ["192.0.2.55", "192.0.2.56"],
            "421 4.7.0 You connect too often",
            id="rate of a /24",
        ),
    ],
)
async def test_each_limit_has_its_reply_and_holds_over_two_edges_as_soon_as_it_is_configured(
    running: Start, setting: str, addresses: list[str], refusal: str
) -> None:
    telling = MemoryTelling()
    worlds = [await running(telling=telling) for _ in range(2)]
    for world in worlds:
        world.edge.take_config(EdgeConfig(revision=1, limits={setting: 3}))
    replies = []
    for number in range(5):
        world = worlds[number % 2]
        _, reply = await connected(world.addresses["proxy"], addresses[number % len(addresses)])
        replies.append(reply)
    assert [reply[:4] for reply in replies] == ["220 "] * 3 + ["421 "] * 2
    assert all(reply.startswith(refusal) for reply in replies[3:]), replies
    for world in worlds:
        world.edge.take_config(EdgeConfig(revision=2))
    assert (await connected(worlds[0].addresses["proxy"], addresses[0]))[1].startswith("220 ")


async def test_loopback_relay_networks_and_proxies_are_not_counted(running: Start) -> None:
    world = await running(
        sessions_per_network=1,
        sessions_per_wide_network=1,
        connections_per_minute_of_network=1,
    )
    world.edge.take_config(EdgeConfig(revision=1, relay_networks=("192.0.2.0/24",)))
    for _ in range(3):
        assert (await (await world.dialog("mx")).read_reply()).startswith("220 ")
        assert (await connected(world.addresses["proxy"]))[1].startswith("220 ")
        unnamed = await world.dialog("proxy")
        unnamed.send(b"PROXY UNKNOWN\r\n")
        assert (await unnamed.read_reply()).startswith("220 ")


async def test_failed_logins_of_a_network_are_counted_over_two_edges(
    running: Start, client_tls: ssl.SSLContext
) -> None:
    telling = MemoryTelling()
    worlds = [await running(telling=telling, auth_failures_per_network=4) for _ in range(2)]
    doors = [await world.listen_for_proxies("proxied-submission", ListenerKind.SUBMISSION) for world in worlds]
    replies = []
    for number in (1, 2, 2, 3, 4, 5):
        async with await Dialog.open(doors[number % 2], tls=client_tls) as client:
            client.send(header("192.0.2.55"))
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: STARTTLS\nS: 220 *\nC: EHLO c\nS: 250 *")
            response = base64.b64encode(b"\0user@dest.example\0%d" % number).decode()
            replies.append((await client(f"C: AUTH PLAIN {response}\nS: *"))[:9])
    assert replies == ["535 5.7.8"] * 5 + ["454 4.7.0"]


async def test_a_limit_of_n_is_one_of_n_over_two_processes(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    """One after the other, and eight at a time; then what is free again is taken through the other one."""
    edges = [edge_process(proxy=True, TRIPOST_EDGE_SESSIONS_PER_NETWORK=str(LIMIT)) for _ in range(2)]
    for edge in edges:
        await edge.until_ready()
    await asyncio.gather(*(connected(edge.proxy, "192.0.2.1") for edge in edges))
    clients = [await connected(edges[number % 2].proxy) for number in range(LIMIT + 10)]
    assert sum(reply.startswith("220 ") for _, reply in clients) == LIMIT
    clients = []
    for start in range(0, LIMIT + 24, 8):
        clients += await asyncio.gather(
            *(connected(edges[number % 2].proxy, "198.51.100.7") for number in range(start, start + 8))
        )
    taken = [client for client, reply in clients if reply.startswith("220 ")]
    assert abs(len(taken) - LIMIT) <= LIMIT * 0.05
    assert {reply[:9] for _, reply in clients if not reply.startswith("220 ")} == {"421 4.7.0"}
    for client in taken:
        client.writer.close()
    async with asyncio.timeout(5):
        for edge in edges:
            while not (await connected(edge.proxy, "198.51.100.7"))[1].startswith("220 "):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
