"""What got a 250 is delivered, whole, whichever service is killed meanwhile."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cluster import Cluster, until
from dns_server import DnsServer
from load_client import LoadClient, look_at

BOB = "bob@local.example"
MESSAGES = 1000
SERVICES = ("edge", "filter", "domains", "nats-server")
MOST_EXTRA_COPIES = MESSAGES // 100


@pytest.fixture
def cluster_with_workers(dns: DnsServer) -> Iterator[Cluster]:
    """With two workers edge dies in two ways: one of them, and the first process, which the supervisor starts again."""
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address, "TRIPOST_EDGE_WORKERS": "2"}) as cluster:
        cluster.add_domain("local.example")
        yield cluster


async def test_a_thousand_messages_while_each_service_is_killed_in_turn(cluster_with_workers: Cluster) -> None:
    cluster = cluster_with_workers
    cluster.add_mailbox(BOB)
    client = LoadClient(cluster.smtp_port, BOB)
    sending = asyncio.create_task(client.send(range(MESSAGES)))
    kills = [partial(kill_a_worker_of_edge, cluster), *(partial(kill, cluster, service) for service in SERVICES)]
    for turn, kill_one in enumerate(kills, start=1):
        await reached(client, turn * MESSAGES // (len(kills) + 1), sending)
        await asyncio.to_thread(kill_one)
    async with asyncio.timeout(60):
        await sending
    assert client.taken == set(range(MESSAGES))
    await asyncio.to_thread(until, lambda: not look_at(cluster.mail(BOB), client.taken).lost, "all are delivered", 60)
    arrived = look_at(cluster.mail(BOB), client.taken)
    assert arrived.damaged == ()
    assert arrived.extra_copies <= MOST_EXTRA_COPIES, f"{arrived.extra_copies} extra; {client.retries} sent again"


def kill(cluster: Cluster, service: str) -> None:
    """End a service as a crash would, and wait until it is back."""
    cluster.wait_until_back(service, cluster.kill(service))


def kill_a_worker_of_edge(cluster: Cluster) -> None:
    """End one worker as a crash would, and wait until there is another."""
    edge = cluster.pid("edge")
    children = Path(f"/proc/{edge}/task/{edge}/children")
    former = children.read_text().split()
    os.kill(int(former[0]), signal.SIGKILL)
    until(lambda: len(now := children.read_text().split()) == 2 and now != former, "edge has two workers again")


async def reached(client: LoadClient, count: int, sending: "asyncio.Task[None]") -> None:
    """Wait until so many messages have been taken."""
    async with asyncio.timeout(60):
        while len(client.taken) < count:
            assert not sending.done()
            await asyncio.sleep(0.005)
