"""Access rules on two edges, by REST: live on both within two seconds, hits of both together, kept when they end."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from admin_service import RunningAdmin
from dialog import Dialog
from edge_process import EdgeProcess
from edge_world import OtherTiers
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink

WITHIN_SECONDS = 2.0


async def until_refused(edges: list[EdgeProcess]) -> int:
    """Connect to each until it refuses; gives how many refusals there were: one an edge."""
    for edge in edges:
        while True:
            async with await Dialog.open(edge.mx) as client:
                if (await client.read_line()).startswith("421 4.7.1"):
                    break
    return len(edges)


async def until_hits(admin: RunningAdmin, expected: int) -> None:
    async with asyncio.timeout(10):
        while True:
            listed = await asyncio.to_thread(lambda: admin.quick_cli("access", "list", "-o", "json").json())
            if listed[0]["hits"] == expected:
                assert listed[0]["last_hit_at"]
                return
            await asyncio.sleep(0.1)


async def test_a_rule_is_live_on_both_and_its_hits_are_those_of_both(
    edge_process: Callable[..., EdgeProcess], nats: NatsServer, link: NatsLink, tiers: OtherTiers, tmp_path: Path
) -> None:
    edges = [edge_process(), edge_process()]
    admin = RunningAdmin(tmp_path / "admin", nats.url)
    await asyncio.to_thread(admin.start)
    try:
        for edge in edges:
            await edge.until_ready()
        opened = [await Dialog.open(edge.mx) for edge in edges]
        for client in opened:
            await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *")
        begun = time.monotonic()
        added = await asyncio.to_thread(admin.quick_cli, "access", "add", "all", "tempfail", "--listener", "mx")
        assert added.returncode == 0
        hits = await until_refused(edges)
        for client in opened:
            await client("C: MAIL FROM:<>\nS: 450 4.7.1 *")
        assert time.monotonic() - begun < WITHIN_SECONDS
        assert [edge.stop() for edge in edges] == [0, 0]  # what was counted last is told at the end
        await until_hits(admin, hits + len(opened))
    finally:
        await asyncio.to_thread(admin.stop)
