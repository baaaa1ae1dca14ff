"""The taking, keeping and acknowledging of mail goes on after a failure that nobody expected."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from delivery_world import Delivery, make_message, queued
from tripost_domains.delivery import acknowledger, intake
from tripost_domains.delivery.settlement import Settlement

ANN = "ann@dest.example"


def broken_at_first(method: Callable[..., Awaitable[Any]], times: int = 1) -> Callable[..., Awaitable[Any]]:
    """A method whose first calls fail as nobody expects."""
    left = times

    async def breaking(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise LookupError("nobody expected this")
        return await method(*arguments, **options)

    return breaking


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(intake, "AFTER_BREAKAGE", timedelta(milliseconds=10))
    monkeypatch.setattr(acknowledger, "PAUSE_SECONDS", 0.01)


async def test_mail_is_taken_again_after_a_failure(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.spool, "fetch", broken_at_first(delivery.spool.fetch))
    for _ in range(2):  # the first one may be taken by the call under way
        await delivery.spool.publish(make_message(ANN))
        await delivery.until_settled()
    assert len(delivery.files()) == 2
    assert delivery.service.is_at_work


async def test_messages_are_acknowledged_after_a_failure(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.events, "flush", broken_at_first(delivery.events.flush))
    await delivery.spool.publish(make_message(ANN))
    await delivery.until_settled()
    assert len(delivery.files()) == 1
    assert delivery.service.is_at_work


async def test_one_message_that_cannot_be_kept_takes_no_other_with_it(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "KEEP_ALIVE_EVERY", timedelta(milliseconds=10))
    await delivery.restart()
    delivery.events.is_unavailable = True
    first, second = make_message(ANN), make_message(ANN)
    for message in (first, second):
        await delivery.spool.publish(message)
    at_hand = delivery.service._intake._at_hand
    await delivery.until(lambda: at_hand.keys() >= {first.id, second.id})
    kept = asyncio.Event()

    async def fails() -> None:
        raise LookupError("nobody expected this")

    async def is_kept() -> None:
        kept.set()

    monkeypatch.setattr(at_hand[first.id].delivery, "keep_alive", fails)
    monkeypatch.setattr(at_hand[second.id].delivery, "keep_alive", is_kept)
    async with asyncio.timeout(10):
        await kept.wait()
    delivery.events.is_unavailable = False
    await delivery.until_settled()
    assert len(delivery.files()) == 2


async def test_a_service_whose_intake_has_ended_is_not_at_work(delivery: Delivery) -> None:
    assert delivery.service.is_at_work
    fetching = delivery.service._intake._fetching
    assert fetching is not None
    fetching.cancel()
    await asyncio.wait({fetching})
    assert not delivery.service.is_at_work


@pytest.mark.parametrize(
    ("times_delivered", "is_held"),
    [
        pytest.param(intake.MOST_BREAKAGES + 1, False, id="given a few times: nobody may have been broken by it"),
        pytest.param(intake.MOST_DELIVERIES, True, id="given very often: it may have ended one process after another"),
    ],
)
async def test_how_often_spool_gave_a_message_does_not_say_that_it_broke_delivery(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch, times_delivered: int, is_held: bool
) -> None:
    monkeypatch.setattr(Settlement, "settle_spooled", broken_at_first(Settlement.settle_spooled))
    message = make_message(ANN)
    delivery.records.is_away = True  # so that it stays until it has been given so often
    await delivery.spool.publish(message)
    await delivery.until(lambda: delivery.service.messages_at_hand == 1)
    (kept,) = delivery.spool._kept
    kept.times_delivered = times_delivered - 1
    await delivery.restart()
    delivery.records.is_away = False
    await delivery.until_settled()
    assert await queued(delivery) == ([ANN] if is_held else [])
    assert len(delivery.files()) == 1, "it was delivered before it could not be settled"
