"""How much of one message goes on at one time, and that no recipient is refused from memory."""

import asyncio
from collections.abc import Sequence

import pytest

from delivery_world import make_message
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.delivery.dispatch import MAILBOXES_AT_ONCE, Dispatcher
from tripost_domains.delivery.outcome import Attempted, Outcome, Result, Trial, delivered
from tripost_domains.directory.cache import CacheLimits
from tripost_domains.directory.model import MailboxDestination, NextHop
from tripost_domains.directory.service import Directory
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.failures import TransientFailure

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
        recipients: Sequence[Recipient],
        _trial: Trial,
        outcomes: dict[str, Outcome],
    ) -> None:
        self.at_next_hops += 1
        await self.goes_on.wait()
        outcomes |= dict.fromkeys((each.address for each in recipients), delivered("hop", "Taken"))


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


class Replica:
    """A replica that no change of the directory has reached since it was asked for `recipients` in vain."""

    def __init__(self, clock: FrozenClock, *lines: str) -> None:
        self.records = MemoryDirectoryRecords("domain dest.example", *lines)
        self.directory = Directory(self.records, clock, CacheLimits())
        agents = HeldAgents()
        self.dispatcher = Dispatcher(self.directory, agents, agents)

    async def mailboxes(self, recipient: str) -> list[str]:
        todo = await self.dispatcher.plan([Recipient(recipient)], direction=Direction.INBOUND)
        assert todo.refused == []
        return [mailbox.address for _, mailbox in todo.mailboxes]


async def test_a_mailbox_that_was_made_since_the_directory_was_asked_gets_its_mail(clock: FrozenClock) -> None:
    """Edge asked another replica, which had heard of the change before us."""
    replica = Replica(clock)
    await replica.directory.resolve_all(["new@dest.example"])
    replica.records.add("mailbox new@dest.example")
    assert await replica.mailboxes("new@dest.example") == ["new@dest.example"]


async def test_a_domain_that_was_made_since_is_not_taken_for_a_foreign_one(clock: FrozenClock) -> None:
    """Its mail would be sent to its MX, which we are, and bounced for the loop."""
    replica = Replica(clock)
    await replica.directory.resolve_all(["ann@new.example"])
    replica.records.add("mailbox ann@new.example")
    assert await replica.mailboxes("ann@new.example") == ["ann@new.example"]


async def test_an_alias_leaves_out_no_mailbox_that_was_made_since(clock: FrozenClock) -> None:
    replica = Replica(clock, "mailbox ann@dest.example", "alias all@dest.example ann@dest.example new@dest.example")
    await replica.directory.resolve_all(["all@dest.example"])
    replica.records.add("mailbox new@dest.example")
    assert await replica.mailboxes("all@dest.example") == ["ann@dest.example", "new@dest.example"]


async def test_a_recipient_who_is_unknown_waits_while_the_database_is_away(clock: FrozenClock) -> None:
    """What is remembered may be too old to refuse a message that was taken."""
    replica = Replica(clock)
    await replica.directory.resolve_all(["new@dest.example"])
    replica.records.is_away = True
    with pytest.raises(TransientFailure):
        await replica.dispatcher.plan([Recipient("new@dest.example")])
