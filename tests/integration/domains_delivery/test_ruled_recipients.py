"""What control rules want of a message's recipients, as edge has marked them: held, or sent elsewhere."""

import msgspec
from sqlalchemy import select

from delivery_world import Delivery, give_again, make_message, release
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import reading
from tripost_shared.mail.envelope import Recipient


def message_to(*recipients: Recipient) -> SpooledMessage:
    message = make_message("ann@dest.example")
    return msgspec.structs.replace(message, envelope=msgspec.structs.replace(message.envelope, recipients=recipients))


async def test_a_control_rule_holds_its_recipients_and_the_others_get_the_mail(delivery: Delivery) -> None:
    """Also what an alias leads to; a mailbox that both lead to has it by the way that is not held."""
    delivery.records.add("alias all@dest.example ann@dest.example bob@dest.example")
    words = "Quarantined by rule odd-ones"
    recipients = (Recipient("ann@dest.example"), Recipient("all@dest.example", held_because=words))
    message = message_to(*recipients)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert (len(delivery.files()), delivery.files("dest.example/bob")) == (1, [])
    async with reading(delivery.engine) as connection:
        columns = (QueuedDelivery.recipient, QueuedDelivery.state, QueuedDelivery.last_reply)
        rows = (await connection.execute(select(*columns))).all()
    assert [tuple(row) for row in rows] == [("bob@dest.example", DeliveryState.HELD, f"451 4.7.0 {words}")]
    await give_again(delivery, message)
    await delivery.until_settled()
    assert (len(delivery.files()), delivery.files("dest.example/bob")) == (1, [])
    await release(delivery)
    await delivery.until(lambda: len(delivery.files("dest.example/bob")) == 1)
    assert len(delivery.files()) == 1


async def test_mail_that_is_held_for_all_is_delivered_to_nobody(delivery: Delivery) -> None:
    recipients = (Recipient("ann@dest.example", held_because="Held for the administrator by rule all"),)
    message = message_to(*recipients)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert delivery.files() == []
    assert delivery.facts() == [(Fact.HELD, "ann@dest.example")]


async def test_a_redirected_recipients_mail_goes_to_the_target_as_by_an_alias(delivery: Delivery) -> None:
    recipients = (Recipient("gone@dest.example", redirected_to="ann@dest.example"),)
    message = message_to(*recipients)
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert len(delivery.files()) == 1
    expanded = delivery.event(Fact.EXPANDED)
    assert (expanded.recipient, expanded.recipients, expanded.detail) == (
        "gone@dest.example",
        ("ann@dest.example",),
        "redirect: ann@dest.example",
    )
    await give_again(delivery, message)
    await delivery.until_settled()
    assert len(delivery.files()) == 1
