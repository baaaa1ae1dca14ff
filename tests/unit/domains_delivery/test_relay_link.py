"""A connection to a next hop, without a network."""

import asyncio
import time

import pytest

from tripost_domains.delivery.relay.link import Link, LinkLost

GIVE_UP_AFTER = 0.01


async def test_a_reply_that_comes_as_patience_ends_counts() -> None:
    """A 250 must not be thrown away because a timer fired in the same turn of the event loop."""
    link = Link()
    waiting = asyncio.create_task(link.reply(GIVE_UP_AFTER))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(GIVE_UP_AFTER * 2, link.data_received, b"250 2.0.0 Taken\r\n")
    time.sleep(GIVE_UP_AFTER * 3)  # noqa: ASYNC251 (the loop is held up until both are due, in this order)
    assert (await waiting).code == 250


class Buffering(asyncio.Transport):
    """A transport of which the system takes nothing until `flush`."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have none."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.unsent += bytes(data)

    def get_write_buffer_size(self) -> int:
        """Say how much is kept."""
        return len(self.unsent)

    def flush(self) -> None:
        """Let the system take all."""
        self.unsent = b""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Throw all away."""
        self.unsent = b""


@pytest.fixture
def transport() -> Buffering:
    return Buffering()


@pytest.fixture
def link(transport: Buffering) -> Link:
    made = Link()
    made.connection_made(transport)
    return made


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_reply_while_octets_of_ours_wait_on_this_machine_is_told(
    link: Link, transport: Buffering, flushed: bool
) -> None:
    link.command(b"content\r\n.\r\n")
    if flushed:
        transport.flush()
    link.data_received(b"250 2.0.0 Taken\r\n")
    assert link.was_interrupted is not flushed


async def test_a_host_that_speaks_is_heard_although_it_takes_no_more(link: Link) -> None:
    """A refusal of large content must not wait until patience with an unread buffer ends."""
    link.pause_writing()
    draining = asyncio.create_task(link.drain(within=60))
    await asyncio.sleep(0)
    link.data_received(b"552 5.3.4 Too much\r\n")
    async with asyncio.timeout(5):
        await draining
    assert (await link.reply(within=1)).code == 552


@pytest.mark.parametrize("early", [b"250 2.1.0 Ok\r\n", b"2", b"250-2.1.0 Ok\r\n", b"\r\n"])
async def test_no_command_is_sent_when_something_has_come_already(
    link: Link, transport: Buffering, early: bytes
) -> None:
    link.data_received(early)
    with pytest.raises(LinkLost, match="before it was asked"):
        link.command(b"MAIL FROM:<>\r\n")
    assert (transport.unsent, link.is_quiet) == (b"", False)
