"""Messages on their way from SPOOL to mailboxes and next hops."""

import msgspec
import pytest
from sqlalchemy import select

from delivery_world import BOB, OCTETS, TOP, Delivery, make_message, release, route
from next_hop import NextHop
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import reading


async def test_a_message_for_a_mailbox_is_delivered_and_acknowledged(delivery: Delivery) -> None:
    message = make_message("ann@dest.example")
    await delivery.spool.publish(message)
    await delivery.until_settled()
    (file,) = delivery.files()
    assert file.read_bytes().endswith((TOP + OCTETS).replace(b"\r\n", b"\n"))
    assert delivery.facts() == [(Fact.DELIVERED, "ann@dest.example")]
    event = delivery.event(Fact.DELIVERED)
    assert (event.message_id, event.next_hop, event.stage) == (message.id, "mailbox", "delivery")


async def test_an_alias_is_expanded_and_told(delivery: Delivery) -> None:
    delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
    await delivery.spool.publish(make_message("all@dest.example", "ann@dest.example"))
    await delivery.until_settled()
    assert (len(delivery.files()), len(delivery.files("dest.example/bob"))) == (1, 1)
    assert delivery.facts()[0] == (Fact.EXPANDED, "all@dest.example")
    assert "ann@dest.example, bob@dest.example" in delivery.event(Fact.EXPANDED).detail


async def test_recipients_of_one_next_hop_share_a_transaction(delivery: Delivery) -> None:
    async with NextHop() as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message(BOB, "eve@other.example", "ann@dest.example"))
        await delivery.until_settled()
        assert [transaction.recipients for transaction in hop.taken] == [[BOB, "eve@other.example"]]
    assert sorted(fact for fact, _ in delivery.facts()) == [Fact.DELIVERED, Fact.RELAYED, Fact.RELAYED]
    assert delivery.event(Fact.RELAYED).reply == "250 2.0.0 Taken"


async def test_a_next_hop_is_found_by_mx(delivery: Delivery) -> None:
    async with NextHop() as hop:
        delivery.service._intake._attempt._dispatcher._relay._finder._mx_port = hop.port  # type: ignore[attr-defined]
        delivery.dns.add("other.example MX 10 mx.other.example")
        delivery.dns.add("mx.other.example A 127.0.0.1")
        await delivery.spool.publish(make_message(BOB))
        await delivery.until_settled()
        assert len(hop.taken) == 1
    assert delivery.event(Fact.RELAYED).next_hop == f"mx.other.example[127.0.0.1]:{hop.port}"


@pytest.mark.parametrize("action", [Action.QUARANTINE, Action.REDIRECT, Action.DISCARD])
async def test_what_a_verdict_holds_back_waits_for_an_operator(delivery: Delivery, action: Action) -> None:
    """Nothing is delivered against the verdict, and nothing is lost."""
    delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
    verdict = Verdict(action, rule="spam threshold")
    message = msgspec.structs.replace(make_message("all@dest.example"), verdict=verdict)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert delivery.files() == []
    async with reading(delivery.engine) as connection:
        columns = (QueuedDelivery.recipient, QueuedDelivery.state, QueuedDelivery.written_to)
        rows = (await connection.execute(select(*columns))).all()
        reply = await connection.scalar(select(QueuedDelivery.last_reply).limit(1))
    assert sorted(map(tuple, rows)) == [
        ("ann@dest.example", DeliveryState.HELD, "all@dest.example"),
        ("bob@dest.example", DeliveryState.HELD, "all@dest.example"),
    ]
    assert reply == f"451 4.7.0 Held for the administrator: the verdict is {action.value} by rule spam threshold"
    assert delivery.facts()[1:] == [(Fact.HELD, "ann@dest.example"), (Fact.HELD, "bob@dest.example")]
    await release(delivery)
    await delivery.until(lambda: len(delivery.files()) == len(delivery.files("dest.example/bob")) == 1)
