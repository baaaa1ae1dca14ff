"""What got a 250 is delivered, whole, whichever service is killed meanwhile."""

import asyncio

from cluster import Cluster, until
from load_client import LoadClient, look_at

BOB = "bob@local.example"
MESSAGES = 1000
KILLED = ("edge", "filter", "domains", "nats-server")
MOST_EXTRA_COPIES = MESSAGES // 100


async def test_a_thousand_messages_while_each_service_is_killed_in_turn(own_cluster: Cluster) -> None:
    own_cluster.add_mailbox(BOB)
    client = LoadClient(own_cluster.smtp_port, BOB)
    sending = asyncio.create_task(client.send(range(MESSAGES)))
    for turn, service in enumerate(KILLED, start=1):
        await reached(client, turn * MESSAGES // (len(KILLED) + 1), sending)
        former = own_cluster.kill(service)
        await asyncio.to_thread(own_cluster.wait_until_back, service, former)
    await asyncio.wait_for(sending, 60)
    assert client.taken == set(range(MESSAGES))
    await asyncio.to_thread(
        until, lambda: not look_at(own_cluster.mail(BOB), client.taken).lost, "all are delivered", 60
    )
    arrived = look_at(own_cluster.mail(BOB), client.taken)
    assert arrived.damaged == ()
    assert arrived.extra_copies <= MOST_EXTRA_COPIES, f"{arrived.extra_copies} extra; {client.retries} sent again"


async def reached(client: LoadClient, count: int, sending: "asyncio.Task[None]") -> None:
    """Wait until so many messages have been taken."""
    async with asyncio.timeout(60):
        while len(client.taken) < count:
            assert not sending.done()
            await asyncio.sleep(0.005)
