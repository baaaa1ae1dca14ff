"""What was delivered of a message before domains ended in the middle of it is not delivered again."""

import asyncio

import pytest

from delivery_world import Delivery, make_message, patient, queued, retry_now, route, until_queued
from next_hop import NextHop
from tripost_domains.delivery import early_word
from tripost_domains.delivery.relay.agent import MAX_RECIPIENTS
from tripost_shared.contracts.events import Fact

SOME = [f"user{number:03}@other.example" for number in range(MAX_RECIPIENTS)]
QUICK, SLOW, LIST = "ann@quick.example", "bob@slow.example", "list@third.example"
REST = [f"user{number:03}@other.example" for number in range(MAX_RECIPIENTS, MAX_RECIPIENTS + 50)]


class OnceTaking(NextHop):
    """A next hop that takes one transaction, and then is silent until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(replies={"content": self._take})

    def _take(self, _argument: str) -> str:
        self.silent_at.add("MAIL")
        return "250 2.0.0 Taken"

    def go_on(self) -> None:
        """Take all that comes from now on."""
        self.silent_at.clear()
        self.replies = {}

    @property
    def recipients(self) -> list[str]:
        """Whoever got the message, in order, each as often as it came."""
        return sorted(recipient for transaction in self.taken for recipient in transaction.recipients)


async def test_recipients_of_an_earlier_transaction_get_a_spooled_message_once(delivery: Delivery) -> None:
    async with OnceTaking() as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(*SOME, *REST))
        await hop.wait_until(lambda _: len(hop.taken) == 1 and hop.commands[-1].startswith("MAIL"))
        await delivery.service.stop()
        assert sorted(delivery.facts()) == [(Fact.RELAYED, recipient) for recipient in SOME]
        hop.go_on()
        await delivery.restart()
        await delivery.until_settled()
        assert hop.recipients == [*SOME, *REST]


async def test_a_next_hops_recipients_get_a_spooled_message_once(delivery: Delivery) -> None:
    async with NextHop() as quick, NextHop(silent_at={"MAIL"}) as slow:
        route(delivery, quick, "quick.example")
        route(delivery, slow, "slow.example")
        await delivery.spool.publish(make_message(QUICK, SLOW))
        await stop_between(delivery, quick, slow)
        await delivery.restart()
        await delivery.until_settled()
        assert (len(quick.taken), len(slow.taken)) == (1, 1)


async def test_an_address_that_an_alias_leads_to_gets_a_queued_message_once(delivery: Delivery) -> None:
    """The queue's deliveries to two next hops are two attempts; those of an alias are one."""
    await patient(delivery)
    async with NextHop() as quick, NextHop(silent_at={"MAIL"}) as slow:
        async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as third:
            route(delivery, third, "third.example")
            await delivery.spool.publish(make_message(LIST))
            await until_queued(delivery, LIST)
        route(delivery, quick, "quick.example")
        route(delivery, slow, "slow.example")
        delivery.records.add(f"alias {LIST} {QUICK} {SLOW}")
        await retry_now(delivery)
        await stop_between(delivery, quick, slow)
        assert await queued(delivery) == [LIST]
        await delivery.restart()
        await until_queued(delivery)
        assert (len(quick.taken), len(slow.taken)) == (1, 1)


async def test_what_a_quick_hop_took_is_told_while_a_slow_one_takes_its_time(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in these minutes must not send it again, and a trace must not be silent about it."""
    monkeypatch.setattr(early_word, "PATIENCE_SECONDS", 0.05)
    async with NextHop() as quick, NextHop(silent_at={"MAIL"}) as slow:
        route(delivery, quick, "quick.example")
        route(delivery, slow, "slow.example")
        await delivery.spool.publish(make_message(QUICK, SLOW))
        await quick.wait_until(lambda hop: len(hop.taken) == 1)
        async with asyncio.timeout(10):
            while (Fact.RELAYED, QUICK) not in delivery.facts():  # noqa: ASYNC110 (an event log tells nobody)
                await asyncio.sleep(0.02)
        assert slow.taken == []
        slow.silent_at = set()
        await delivery.service.stop()


async def stop_between(delivery: Delivery, quick: NextHop, slow: NextHop) -> None:
    """End domains once a hop has taken the message and the other one is about to."""
    await quick.wait_until(lambda hop: len(hop.taken) == 1)
    await slow.wait_until(lambda hop: hop.commands != [] and hop.commands[-1].startswith("MAIL"))
    await delivery.service.stop()
    slow.silent_at = set()
