"""Two edges take what is changed by REST: within two seconds, with sessions open, and each what is for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from admin_service import RunningAdmin
from dialog import Dialog
from edge_process import EdgeProcess, until
from edge_world import OtherTiers
from servers import NatsServer, free_ports
from tripost_shared.bus.nats_link import NatsLink

SOON = 2.0  # seconds: what is promised to operators


class Cluster:
    """Two edges and an admin-api around one NATS."""

    def __init__(self, edges: list[EdgeProcess], admin: RunningAdmin) -> None:
        self.edges = edges
        self._admin = admin

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Do it by REST; gives what is answered."""

        def done() -> Any:
            with self._admin.client() as client:
                answer = client.request(method, f"/api/v1/{path}", json=body or None)
            assert answer.is_success, answer.text
            return answer.json() if answer.content else None

        return await asyncio.to_thread(done)

    async def open_at(self, listener: str) -> dict[str, str]:
        """Give what each node says is wrong with a listener."""
        return {
            place["node"]: place["trouble"] for place in (await self.ask("GET", f"listeners/{listener}"))["open_at"]
        }


@pytest.fixture
async def cluster(
    nats: NatsServer, link: NatsLink, tiers: OtherTiers, tls_files: tuple[Path, Path], tmp_path: Path
) -> AsyncIterator[Cluster]:
    with ExitStack() as stack:
        edges = []
        for name in ("edge-0", "edge-1"):
            folder = tmp_path / name
            folder.mkdir()
            edge = EdgeProcess(nats, tls_files, folder, TRIPOST_EDGE_NODE=name)
            stack.callback(edge.kill)
            edges.append(edge.start())
        admin = RunningAdmin(tmp_path / "home", nats.url)
        await asyncio.to_thread(admin.start)
        try:
            for edge in edges:
                await edge.until_ready()
            yield Cluster(edges, admin)
        finally:
            await asyncio.to_thread(admin.stop)


async def size_of(client: Dialog) -> str:
    """Ask for the limit of a message's size that holds in this session now."""
    client.send(b"EHLO c\r\n")
    size = ""
    while True:
        line = await client.read_line()
        size = line.partition("SIZE ")[2] or size
        if line.startswith("250 "):
            return size


async def until_all_say(clients: list[Dialog], size: int) -> None:
    """Wait until every session has that limit."""
    async with asyncio.timeout(SOON):
        for client in clients:
            while await size_of(client) != str(size):  # noqa: ASYNC110 (nothing tells when)
                await asyncio.sleep(0.02)


async def test_limits_and_listeners_are_live_on_both_in_two_seconds_with_sessions_open(cluster: Cluster) -> None:
    clients = [await Dialog.open(edge.mx) for edge in cluster.edges]
    for client in clients:
        await client("S: 220 *")
    await cluster.ask("PATCH", "limits", size_limit_octets=70_000)
    await until_all_say(clients, 70_000)
    await cluster.ask("PATCH", "listeners/mx", limits={"size_limit_octets": 80_000})
    await until_all_say(clients, 80_000)
    await cluster.ask("DELETE", "listeners/mx")
    await until_all_say(clients, 70_000)

    first, second = free_ports(2)
    begun = time.monotonic()
    await cluster.ask("POST", "listeners", name="first", address=f"127.0.0.1:{first}", nodes=["edge-0"])
    await cluster.ask("POST", "listeners", name="second", address=f"127.0.0.1:{second}", nodes=["edge-1"])
    await until(lambda: all('"listening"' in _after_ready(edge) for edge in cluster.edges))
    assert time.monotonic() - begun < SOON
    assert (await cluster.open_at("first"), await cluster.open_at("second")) == ({"edge-0": ""}, {"edge-1": ""})
    async with await Dialog.open(("127.0.0.1", second)) as on_second:
        await on_second("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
        begun = time.monotonic()
        await cluster.ask("DELETE", "listeners/second")
        await until(lambda: '"listener closed"' in cluster.edges[1].said())
        assert time.monotonic() - begun < SOON
        with pytest.raises(ConnectionRefusedError):
            await Dialog.open(("127.0.0.1", second))
        await on_second("C: RCPT TO:<ann@dest.example>\nS: 250 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *")
    for client in clients:  # of before all this
        await client("C: QUIT\nS: 221 *")


async def test_it_is_told_by_rest_on_which_edge_a_listener_cannot_be_opened(cluster: Cluster) -> None:
    (port,) = free_ports(1)
    await cluster.ask("POST", "listeners", name="both", address=f"127.0.0.1:{port}")
    async with asyncio.timeout(5 * SOON):
        troubles = await cluster.open_at("both")
        while sorted(map(bool, troubles.values())) != [False, True]:
            troubles = await cluster.open_at("both")
    (trouble,) = filter(None, troubles.values())
    assert trouble.startswith(f"cannot be opened: 127.0.0.1:{port}: already in use by another process")
    assert any(trouble in problem for problem in (await cluster.ask("GET", "status"))["problems"])
    ours, other = sorted(troubles, key=lambda node: bool(troubles[node]))
    await cluster.ask("PATCH", "listeners/both", nodes=[ours])
    async with asyncio.timeout(5 * SOON):
        while await cluster.open_at("both") != {ours: ""}:
            pass
    assert other not in await cluster.open_at("both")


def _after_ready(edge: EdgeProcess) -> str:
    return edge.said().rpartition('"service ready"')[2]
