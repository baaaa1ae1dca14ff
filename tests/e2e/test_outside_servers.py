"""The cluster with a PostgreSQL and a NATS of the operator's own, and what happens while the database is away."""

import asyncio
from collections.abc import Iterator

import pytest

from cluster import Cluster, until
from dns_server import DnsServer
from load_client import LoadClient, look_at
from postgres_server import PostgresServer
from servers import NatsServer
from smtp import send

BOB = "bob@local.example"
EARLY, MEANWHILE = range(50), range(50, 150)


@pytest.fixture
def cluster_on_postgres(own_postgres: PostgresServer, dns: DnsServer) -> Iterator[Cluster]:
    url = own_postgres.url(own_postgres.create_database())
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address, "TRIPOST_DATABASE_URL": url}) as cluster:
        cluster.add_domain("local.example")
        cluster.add_mailbox(BOB)
        yield cluster


def test_with_a_nats_of_the_operators_own_none_is_started(dns: DnsServer) -> None:
    with (
        NatsServer() as nats,
        Cluster({"TRIPOST_DNS_SERVERS": dns.address, "TRIPOST_NATS_URL": nats.url}) as cluster,
    ):
        assert not (cluster.home / "run" / "nats-server.pid").exists()
        cluster.add_domain("local.example")
        cluster.add_mailbox(BOB)
        assert send(cluster.smtp_port, BOB).startswith("250 ")
        cluster.wait_for_mail(BOB)


async def test_nothing_is_lost_while_the_database_is_away(
    cluster_on_postgres: Cluster, own_postgres: PostgresServer
) -> None:
    client = LoadClient(cluster_on_postgres.smtp_port, BOB)
    await client.send(EARLY)
    own_postgres.kill()
    sending = asyncio.create_task(client.send(MEANWHILE))
    await asyncio.wait({sending}, timeout=3)
    assert all(reply.startswith("4") for reply in client.refusals)
    own_postgres.start()
    async with asyncio.timeout(60):
        await sending

    def all_are_there() -> bool:
        return not look_at(cluster_on_postgres.mail(BOB), client.taken).lost

    await asyncio.to_thread(until, all_are_there, "all are delivered", 60)
    arrived = look_at(cluster_on_postgres.mail(BOB), client.taken)
    assert arrived.damaged == ()
    assert arrived.extra_copies == 0
