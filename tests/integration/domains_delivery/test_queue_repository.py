"""The deferred queue in SQL, the same on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery_world import TOP, make_message
from spooled import damaged_message
from tripost_domains.queue.model import Claim, ClaimedMessage, Deferral, Share
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import reading, writing
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Recipient

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)
ALL = Share(at_most=100, per_hop=100)
BOB = "bob@other.example"


@pytest.fixture
def queue(database: AsyncEngine) -> QueueRepository:
    return QueueRepository(database, "first")


@pytest.fixture
def replica(database: AsyncEngine) -> QueueRepository:
    return QueueRepository(database, "second")


def a_deferral(
    recipient: str = BOB, next_hop: str = "other.example", due_at: datetime = NOW, attempts: int = 1
) -> Deferral:
    return Deferral(
        Recipient(recipient), next_hop, attempts, due_at, NOW + timedelta(days=5), "451 4.4.1 No connection"
    )


async def add(queue: QueueRepository, *deferrals: Deferral, message: SpooledMessage | None = None) -> SpooledMessage:
    """Queue deliveries of a new message."""
    message = message or make_message(*(each.recipient.address for each in deferrals), received_at=NOW)
    content = Content(size_octets=message.content.size_octets, stored=message.id)
    await queue.add(message, content, deferrals, NOW)
    return message


def claims_of(claimed: Sequence[ClaimedMessage]) -> list[Claim]:
    return [claim for each in claimed for claim in each.claims]


async def claim(queue: QueueRepository, at: datetime = NOW, share: Share = ALL) -> list[str]:
    """Claim, and name the recipients."""
    return [each.recipient.address for each in claims_of(await queue.claim_due(at, LEASE, share))]


async def rows(database: AsyncEngine) -> tuple[int, int]:
    """How many messages and deliveries there are."""
    async with reading(database) as connection:
        messages = await connection.scalar(select(func.count()).select_from(QueuedMessage))
        deliveries = await connection.scalar(select(func.count()).select_from(QueuedDelivery))
    return messages or 0, deliveries or 0


async def operator_sets(database: AsyncEngine, **values: object) -> None:
    """Change all deliveries, as admin-api does with SQL of its own."""
    async with writing(database) as connection:
        await connection.execute(update(QueuedDelivery).values(**values))


async def test_a_claim_gives_all_back_that_was_queued(queue: QueueRepository) -> None:
    recipient = Recipient(BOB, ("FAILURE", "DELAY"), "rfc822;Bob@other.example")
    message = await add(queue, replace(a_deferral(), recipient=recipient))
    (claimed,) = await queue.claim_due(NOW, LEASE, ALL)
    assert claimed.message.header_fields == TOP
    assert claimed.message.envelope == message.envelope
    assert claimed.message.content == Content(size_octets=message.content.size_octets, stored=message.id)
    (one,) = claimed.claims
    assert (one.recipient, one.next_hop, one.attempts) == (recipient, "other.example", 1)
    assert one.expires_at == NOW + timedelta(days=5)


async def test_adding_again_changes_nothing(queue: QueueRepository, database: AsyncEngine) -> None:
    """A message that SPOOL gives again after a crash."""
    message = await add(queue, a_deferral())
    await add(queue, a_deferral(attempts=7), a_deferral("eve@other.example"), message=message)
    assert await rows(database) == (1, 2)
    assert await queue.recipients_of(message.id) == {BOB, "eve@other.example"}
    assert {each.attempts for each in claims_of(await queue.claim_due(NOW, LEASE, ALL))} == {1}


async def test_only_what_is_due_is_claimed(queue: QueueRepository) -> None:
    await add(queue, a_deferral(due_at=NOW + MINUTE))
    assert await claim(queue) == []
    assert await claim(queue, NOW + MINUTE) == [BOB]


async def test_what_is_claimed_is_claimed_once(queue: QueueRepository, replica: QueueRepository) -> None:
    for number in range(20):
        await add(queue, a_deferral(f"user{number}@other.example"))
    taken = await asyncio.gather(claim(queue, share=Share(12, 12)), claim(replica, share=Share(12, 12)))
    left = await claim(queue)
    assert sorted([*taken[0], *taken[1], *left]) == sorted(f"user{number}@other.example" for number in range(20))


class TestOwners:
    """Whose a claim is: an owner may be cut off from the database for a while and still be at work."""

    async def test_a_claim_of_our_own_that_has_run_out_is_due_again(self, queue: QueueRepository) -> None:
        await add(queue, a_deferral())
        assert await claim(queue) == [BOB]
        assert await claim(queue, NOW + LEASE - timedelta(seconds=1)) == []
        assert await claim(queue, NOW + LEASE) == [BOB]

    async def test_a_claim_of_another_is_taken_over_one_lease_later(
        self, queue: QueueRepository, replica: QueueRepository
    ) -> None:
        await add(queue, a_deferral())
        assert await claim(queue) == [BOB]
        assert await claim(replica, NOW + 2 * LEASE - timedelta(seconds=1)) == []
        assert await claim(replica, NOW + 2 * LEASE, Share(100, 100, takes_over=False)) == []
        assert await claim(replica, NOW + 2 * LEASE) == [BOB]

    async def test_a_claim_that_is_renewed_lasts(self, queue: QueueRepository, replica: QueueRepository) -> None:
        await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert await queue.renew([one.id], NOW + 3 * LEASE) == {one.id}
        assert await claim(replica, NOW + 3 * LEASE) == []

    async def test_who_lost_a_claim_is_told_so_and_changes_nothing(
        self, queue: QueueRepository, replica: QueueRepository, database: AsyncEngine
    ) -> None:
        message = await add(queue, a_deferral(), a_deferral("eve@other.example"))
        one, other = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert await claim(replica, NOW + 2 * LEASE) == [BOB, "eve@other.example"]
        assert await queue.renew([one.id, other.id], NOW + 9 * LEASE) == frozenset()
        await queue.settle(message.id, [one.id], [(other.id, a_deferral())], [], NOW)
        await queue.release(None, NOW)
        assert await rows(database) == (1, 2)
        assert await claim(queue, NOW + 3 * LEASE) == []

    async def test_what_was_delivered_goes_although_an_operator_has_held_it_since(
        self, queue: QueueRepository, database: AsyncEngine
    ) -> None:
        """Released, it would be delivered once more."""
        message = await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        await operator_sets(database, state=DeliveryState.HELD, claimed_by="", claimed_until=None)
        await queue.settle(message.id, [one.id], [], [], NOW)
        assert await rows(database) == (0, 0)

    async def test_an_owner_may_have_a_long_name(self, database: AsyncEngine) -> None:
        """A host's name has up to 253 octets, and names that differ at their end only are two owners."""
        host = ".".join(["a" * 62] * 4)[:253]
        queue, replica = QueueRepository(database, f"{host}/4711"), QueueRepository(database, f"{host}/4712")
        await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert await replica.renew([one.id], NOW + LEASE) == frozenset()
        assert await queue.renew([one.id], NOW + LEASE) == {one.id}


async def test_next_hops_take_turns(queue: QueueRepository) -> None:
    """A thousand deliveries for a dead destination keep nobody waiting."""
    for number in range(30):
        await add(queue, a_deferral(f"user{number}@dead.example", "dead.example", NOW - timedelta(hours=1)))
    await add(queue, a_deferral("bob@quick.example", "quick.example"))
    claimed = await claim(queue, share=Share(at_most=10, per_hop=5))
    assert "bob@quick.example" in claimed
    assert len(claimed) == 6


async def test_what_is_busy_in_this_process_is_left_alone(queue: QueueRepository) -> None:
    await add(queue, a_deferral(), a_deferral("eve@third.example", "third.example"))
    one, other = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    later = NOW + 2 * LEASE
    assert await claim(queue, later, Share(100, 100, busy_rows=frozenset({one.id, other.id}))) == []
    assert await claim(queue, later, Share(100, 100, busy_hops=frozenset({one.next_hop}))) == [other.recipient.address]


async def test_recipients_of_one_message_and_next_hop_come_together(queue: QueueRepository) -> None:
    message = await add(
        queue, a_deferral(), a_deferral("eve@other.example"), a_deferral("x@third.example", "third.example")
    )
    claimed = await queue.claim_due(NOW, LEASE, ALL)
    assert sorted(len(each.claims) for each in claimed) == [1, 2]
    assert {each.message.id for each in claimed} == {message.id}


async def test_the_last_delivery_takes_the_message_with_it(queue: QueueRepository, database: AsyncEngine) -> None:
    message = await add(queue, a_deferral(), a_deferral("eve@other.example"))
    one, other = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    assert await queue.settle(message.id, [one.id], [], [], NOW) is None
    assert await queue.refers_to(message.id)
    assert await queue.settle(message.id, [other.id], [], [], NOW) == message.id
    assert await rows(database) == (0, 0)
    assert not await queue.refers_to(message.id)


async def test_two_replicas_that_settle_the_last_two_leave_nothing(
    queue: QueueRepository, replica: QueueRepository, database: AsyncEngine
) -> None:
    share = Share(at_most=1, per_hop=1)
    for _ in range(10):
        message = await add(queue, a_deferral(), a_deferral("eve@other.example"))
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, share))
        (other,) = claims_of(await replica.claim_due(NOW, LEASE, share))
        gone = await asyncio.gather(
            queue.settle(message.id, [one.id], [], [], NOW), replica.settle(message.id, [other.id], [], [], NOW)
        )
        assert sorted(map(str, gone)) == sorted(["None", message.id])
    assert await rows(database) == (0, 0)


async def test_what_is_put_off_waits_again(queue: QueueRepository) -> None:
    message = await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    again = replace(a_deferral(next_hop="third.example", due_at=NOW + MINUTE, attempts=2), last_reply="450 Busy")
    assert await queue.settle(message.id, [], [(one.id, again)], [], NOW) is None
    assert await claim(queue, NOW + MINUTE - timedelta(seconds=1)) == []
    (later,) = claims_of(await queue.claim_due(NOW + MINUTE, LEASE, ALL))
    assert (later.attempts, later.next_hop) == (2, "third.example")


async def test_a_recipient_can_be_replaced_by_others(queue: QueueRepository) -> None:
    """It has become an alias since."""
    message = await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    await queue.settle(message.id, [one.id], [], [a_deferral("eve@other.example")], NOW)
    assert await queue.recipients_of(message.id) == {"eve@other.example"}


async def test_a_released_claim_counts_no_attempt(queue: QueueRepository) -> None:
    await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    await queue.release([one.id], NOW + timedelta(seconds=5))
    (again,) = claims_of(await queue.claim_due(NOW + timedelta(seconds=5), LEASE, ALL))
    assert again.attempts == 1


class TestOperators:
    """What admin-api does by SQL of its own."""

    async def test_what_is_held_is_not_claimed_until_it_is_released(
        self, queue: QueueRepository, database: AsyncEngine
    ) -> None:
        await add(queue, a_deferral())
        await operator_sets(database, state=DeliveryState.HELD)
        assert await claim(queue) == []
        await operator_sets(database, state=DeliveryState.DEFERRED)
        assert await claim(queue) == [BOB]

    async def test_retry_now_makes_it_due(self, queue: QueueRepository, database: AsyncEngine) -> None:
        await add(queue, a_deferral(due_at=NOW + timedelta(hours=1)))
        await operator_sets(database, next_attempt_at=NOW)
        assert await claim(queue) == [BOB]

    async def test_what_is_held_while_it_is_attempted_stays_held(
        self, queue: QueueRepository, database: AsyncEngine
    ) -> None:
        message = await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        await operator_sets(database, state=DeliveryState.HELD)
        await queue.settle(message.id, [], [(one.id, a_deferral())], [], NOW)
        assert await claim(queue, NOW + LEASE) == []

    async def test_what_is_deleted_while_it_is_attempted_leaves_no_message(
        self, queue: QueueRepository, database: AsyncEngine
    ) -> None:
        message = await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        async with writing(database) as connection:
            await connection.execute(delete(QueuedDelivery))
        assert await queue.settle(message.id, [], [(one.id, a_deferral())], [], NOW) == message.id
        assert await rows(database) == (0, 0)


async def test_the_queue_is_counted_by_state(queue: QueueRepository) -> None:
    assert (await queue.state()).oldest_at is None
    await add(queue, a_deferral(), a_deferral("eve@third.example", "third.example", NOW + MINUTE))
    await claim(queue)
    state = await queue.state()
    assert state.counts == {DeliveryState.DEFERRED: 1, DeliveryState.HELD: 0, DeliveryState.ATTEMPTING: 1}
    assert state.oldest_at == NOW


async def test_what_comes_in_held_is_not_attempted(queue: QueueRepository) -> None:
    await add(queue, replace(a_deferral(attempts=0), is_held=True))
    assert await claim(queue, NOW + LEASE) == []
    assert (await queue.state()).counts[DeliveryState.HELD] == 1


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"\xc1 no MessagePack", id="another form"),
        pytest.param(damaged_message(1), id="text that is not UTF-8"),
    ],
)
async def test_a_message_that_cannot_be_read_is_held_and_stops_no_other(
    queue: QueueRepository, database: AsyncEngine, damaged: bytes
) -> None:
    broken = await add(queue, a_deferral("broken@other.example"))
    await add(queue, a_deferral())
    async with writing(database) as connection:
        await connection.execute(update(QueuedMessage).where(QueuedMessage.id == broken.id).values(spooled=damaged))
    assert await claim(queue) == [BOB]
    async with reading(database) as connection:
        of_broken = select(QueuedDelivery.state, QueuedDelivery.last_reply, QueuedDelivery.claimed_by)
        row = (await connection.execute(of_broken.where(QueuedDelivery.message_id == broken.id))).one()
    assert (row.state, row.claimed_by) == (DeliveryState.HELD, "")
    assert "cannot be read" in row.last_reply
