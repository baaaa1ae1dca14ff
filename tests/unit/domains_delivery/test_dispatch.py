"""How much of one message goes on at one time."""

import asyncio
from collections.abc import Sequence

from delivery_world import make_message
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.delivery.dispatch import MAILBOXES_AT_ONCE, Dispatcher
from tripost_domains.delivery.outcome import Attempted, Outcome, Result, Trial, delivered
from tripost_domains.directory.cache import CacheLimits
from tripost_domains.directory.model import MailboxDestination, NextHop
from tripost_domains.directory.service import Directory
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.spool import SpooledMessage

MANY = [f"user{number}@dest.example" for number in range(3 * MAILBOXES_AT_ONCE)]


class HeldAgents:
    """Mailboxes and next hops that take nothing until they are let."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.at_mailboxes = 0
        self.most_at_mailboxes = 0
        self.at_next_hops = 0

    async def deliver(self, _message: SpooledMessage, _mailbox: MailboxDestination, _trial: Trial) -> Outcome:
        self.at_mailboxes += 1
        self.most_at_mailboxes = max(self.most_at_mailboxes, self.at_mailboxes)
        await self.goes_on.wait()
        await asyncio.sleep(0)
        self.at_mailboxes -= 1
        return delivered("mailbox", "Delivered")

    async def relay(
        self,
        _message: SpooledMessage,
        _hop: NextHop,
        recipients: Sequence[str],
        _trial: Trial,
        outcomes: dict[str, Outcome],
    ) -> None:
        self.at_next_hops += 1
        await self.goes_on.wait()
        outcomes |= dict.fromkeys(recipients, delivered("hop", "Taken"))


def no_cut(_cut: Sequence[Attempted]) -> None:
    raise AssertionError("nothing was cancelled")


async def test_a_message_for_many_mailboxes_takes_so_many_turns_and_no_more(clock: FrozenClock) -> None:
    """Others have theirs in between; its next hops do not wait for its mailboxes."""
    agents = HeldAgents()
    records = MemoryDirectoryRecords(*(f"mailbox {each}" for each in MANY), "route other.example hop.example:25 may")
    dispatcher = Dispatcher(Directory(records, clock, CacheLimits()), agents, agents)
    message = make_message(*MANY, "bob@other.example")
    todo = await dispatcher.plan(message.envelope.recipients)
    attempting = asyncio.create_task(dispatcher.attempt(message, todo, Trial(), no_cut))
    for _ in range(3):
        await asyncio.sleep(0)
    assert (agents.at_mailboxes, agents.at_next_hops) == (MAILBOXES_AT_ONCE, 1)
    agents.goes_on.set()
    attempted = await attempting
    assert agents.most_at_mailboxes == MAILBOXES_AT_ONCE
    assert sorted(each.recipient.address for each in attempted) == sorted([*MANY, "bob@other.example"])
    assert {each.outcome.result for each in attempted} == {Result.DELIVERED}
