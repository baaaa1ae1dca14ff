"""Ports below 1024 are opened while edge runs, though root was given up: one capability is kept, and no other."""

import os
import pwd
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from config_publisher import KvConfigPublisher
from dialog import Dialog
from edge_process import EdgeProcess, until
from edge_world import OtherTiers
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.capabilities import CAP_NET_BIND_SERVICE
from tripost_shared.contracts.listeners import LISTENERS_KEY, ListenerConfig, ListenersConfig
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up, and keep a part of it")
NOBODY = pwd.getpwnam("nobody").pw_uid


def free_privileged_port() -> int:
    while True:
        port = 600 + secrets.randbelow(400)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def status(process: int, field: str) -> list[str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_privileged_port_is_opened_live_with_nothing_else_of_root_left(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers, workers: int
) -> None:
    edge = await edge_process(TRIPOST_EDGE_WORKERS=str(workers)).until_ready(workers)
    port = free_privileged_port()
    publisher = KvConfigPublisher(link)
    added = ListenersConfig(1, (ListenerConfig("low", address=f"127.0.0.1:{port}"),))
    await publisher.put(LISTENERS_KEY, added)
    try:
        await until(lambda: edge.said().count('"listener":"low"') == workers, edge.said)
        async with await Dialog.open(("127.0.0.1", port)) as client:
            await client("S: 220 *\nC: EHLO c\nS: 250 *")
    finally:
        await publisher.put(LISTENERS_KEY, ListenersConfig(2))
    for process in (edge.pid, *edge.children()):
        assert set(map(int, status(process, "Uid"))) == {NOBODY}
        for kind in ("CapPrm", "CapEff"):
            assert int(*status(process, kind), 16) == 1 << CAP_NET_BIND_SERVICE
        assert int(*status(process, "CapInh"), 16) == 0
        assert int(*status(process, "CapAmb"), 16) == 0
    await until(lambda: edge.said().count('"listener closed"') == workers, edge.said)
    assert edge.stop() == 0


NO_CAPABILITY = """
from tripost_shared import capabilities
capabilities.may_keep = lambda capability: False
"""


async def test_where_the_capability_is_missing_the_status_says_what_is_needed(
    edge_process: Callable[..., EdgeProcess], link: NatsLink, tiers: OtherTiers
) -> None:
    """As in a container whose root may bind no low port."""
    edge = await edge_process(prelude=NO_CAPABILITY).until_ready()
    port = free_privileged_port()
    publisher = KvConfigPublisher(link)
    await publisher.put(LISTENERS_KEY, ListenersConfig(3, (ListenerConfig("low", address=f"127.0.0.1:{port}"),)))
    try:
        await until(lambda: '"listener not opened"' in edge.said(), edge.said)
        (status_of_edge,) = await NatsBus(link).gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=0.5))
    finally:
        await publisher.put(LISTENERS_KEY, ListenersConfig(4))
    (trouble,) = status_of_edge.troubles
    assert trouble.startswith(f"low: cannot be opened: 127.0.0.1:{port}: not permitted to this user; ports below 1024")
    assert "CAP_NET_BIND_SERVICE" in trouble
    assert int(*status(edge.pid, "CapPrm"), 16) == 0
