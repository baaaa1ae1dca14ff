"""A connection to a next hop, without a network."""

import asyncio
import time

from tripost_domains.delivery.relay.link import Link

GIVE_UP_AFTER = 0.01


async def test_a_reply_that_comes_as_patience_ends_counts() -> None:
    """A 250 must not be thrown away because a timer fired in the same turn of the event loop."""
    link = Link()
    waiting = asyncio.create_task(link.reply(GIVE_UP_AFTER))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(GIVE_UP_AFTER * 2, link.data_received, b"250 2.0.0 Taken\r\n")
    time.sleep(GIVE_UP_AFTER * 3)  # noqa: ASYNC251 (the loop is held up until both are due, in this order)
    assert (await waiting).code == 250
