"""One behaviour suite for telling all replicas, on the fake and on core NATS."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from links import settings_for
from servers import NatsServer
from tripost_shared.bus.memory_telling import MemoryTelling
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.telling import NatsTelling, Telling

SUBJECT = "edge.v1.test"


class Said(msgspec.Struct, frozen=True):
    who: int
    number: int


@pytest.fixture(params=["memory", "nats"])
async def replicas(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[list[Telling]]:
    """Two of them."""
    if request.param == "memory":
        shared = MemoryTelling()
        yield [shared, shared]
        return
    links = [await NatsLink.connect(settings_for(nats_server), "test") for _ in range(2)]
    yield [NatsTelling(link) for link in links]
    for link in links:
        await link.close()


async def test_all_hear_all_in_one_order_themselves_among_them(replicas: list[Telling]) -> None:
    heard: list[list[Said]] = [[], []]
    for replica, into in zip(replicas, heard, strict=True):
        replica.hear(SUBJECT, Said, into.append)
    async with asyncio.timeout(5):
        while not all(any(said.who == 9 for said in into) for into in heard):  # until both listen
            replicas[0].tell(SUBJECT, Said(9, 0))
            await asyncio.sleep(0.01)
        for number in range(50):
            for who, replica in enumerate(replicas):
                assert replica.tell(SUBJECT, Said(who, number))
            await asyncio.sleep(0)
        while not all(sum(said.who != 9 for said in into) == 100 for into in heard):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    first, second = ([said for said in into if said.who != 9] for into in heard)
    assert first == second
    for who in (0, 1):
        assert [said.number for said in first if said.who == who] == list(range(50))


async def test_who_is_cut_off_tells_nobody(own_link: NatsLink) -> None:
    telling = NatsTelling(own_link)
    await own_link.close()
    assert not telling.tell(SUBJECT, Said(1, 1))
    memory = MemoryTelling()
    memory.is_down = True
    assert not memory.tell(SUBJECT, Said(1, 1))


async def test_what_cannot_be_read_is_left_out(own_link: NatsLink) -> None:
    heard: list[Said] = []
    NatsTelling(own_link).hear(SUBJECT, Said, heard.append)
    own_link.publish(SUBJECT, b"\xc1")
    NatsTelling(own_link).tell(SUBJECT, Said(1, 2))
    await own_link.flush()
    assert heard == [Said(1, 2)]
