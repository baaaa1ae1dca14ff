"""Settled messages are acknowledged once their facts are on disk, also when all ends meanwhile."""

import asyncio
from datetime import timedelta

from spooled import spooled_message
from tripost_domains.delivery.acknowledger import Acknowledger, Held
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.memory import MemoryEventLog

SOON = timedelta(seconds=5)


class Delivery:
    """Notes its acknowledgement, which can be made to take long."""

    times_delivered = 1
    may_be_repeated = False

    def __init__(self, number: int, *, is_slow: bool = False) -> None:
        self.message: SpooledMessage = spooled_message(number)
        self.is_slow = is_slow
        self.was_asked = asyncio.Event()
        self.is_done = False

    async def done(self) -> None:
        self.was_asked.set()
        if self.is_slow:
            await asyncio.Event().wait()
        self.is_done = True

    async def keep_alive(self) -> None:
        raise AssertionError("nobody asked for it")

    async def put_back(self, delay: timedelta) -> None:
        raise AssertionError("nobody asked for it")


class SilentLog(MemoryEventLog):
    """Never tells that facts are on disk."""

    async def flush(self) -> None:
        await asyncio.Event().wait()


async def test_what_was_not_acknowledged_when_the_work_was_cancelled_is_at_the_end() -> None:
    released: list[Held] = []
    acknowledger = Acknowledger(MemoryEventLog(), released.append)
    deliveries = [Delivery(1), Delivery(2, is_slow=True), Delivery(3)]
    for delivery in deliveries:
        acknowledger.add(Held(delivery, taken_at=0.0))
    working = asyncio.create_task(acknowledger.run())
    await deliveries[1].was_asked.wait()
    working.cancel()
    await asyncio.wait({working})
    assert [delivery.is_done for delivery in deliveries] == [True, False, False]
    deliveries[1].is_slow = False
    await acknowledger.end(SOON)
    assert all(delivery.is_done for delivery in deliveries)
    assert [held.delivery for held in released] == deliveries


async def test_the_end_waits_for_the_event_log_no_longer_than_it_may() -> None:
    released: list[Held] = []
    acknowledger = Acknowledger(SilentLog(), released.append)
    delivery = Delivery(1)
    acknowledger.add(Held(delivery, taken_at=0.0))
    async with asyncio.timeout(5):
        await acknowledger.end(timedelta(milliseconds=10))
    assert not delivery.is_done
    assert released == []
