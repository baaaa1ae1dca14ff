"""The deferred queue in SQL, the same on SQLite and on PostgreSQL: what comes in, and what becomes of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete, event, update
from sqlalchemy.ext.asyncio import AsyncEngine

from delivery_world import TOP
from queue_world import ALL, BOB, LEASE, MINUTE, NOW, a_deferral, add, claim, claims_of, operator_sets, rows
from tripost_domains.queue.model import Share
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import writing
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Recipient


async def test_a_claim_gives_all_back_that_was_queued(queue: QueueRepository) -> None:
    recipient = Recipient(BOB, ("FAILURE", "DELAY"), "rfc822;Bob@other.example")
    message = await add(queue, replace(a_deferral(), recipient=recipient, written_to="info@dest.example"))
    (claimed,) = (await queue.claim_due(NOW, LEASE, ALL)).messages
    assert claimed.message.header_fields == TOP
    assert claimed.message.envelope == message.envelope
    assert claimed.message.content == Content(size_octets=message.content.size_octets, stored=message.id)
    (one,) = claimed.claims
    assert (one.recipient, one.next_hop, one.attempts) == (recipient, "other.example", 1)
    assert (one.expires_at, one.written_to) == (NOW + timedelta(days=5), "info@dest.example")


async def test_adding_again_changes_nothing(queue: QueueRepository, database: AsyncEngine) -> None:
    """A message that SPOOL gives again after a crash."""
    message = await add(queue, a_deferral())
    await add(queue, a_deferral(attempts=7), a_deferral("eve@other.example"), message=message)
    assert await rows(database) == (1, 2)
    assert await queue.recipients_of(message.id) == {BOB, "eve@other.example"}
    assert {each.attempts for each in claims_of(await queue.claim_due(NOW, LEASE, ALL))} == {1}


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


async def test_messages_that_come_and_go_together_share_commits_on_sqlite(sqlite_url: str) -> None:
    """One after the other, each with an fsync, they would be 80 a second, and hold up all else that is delivered."""
    database = open_engine(sqlite_url)
    queue = QueueRepository(database, "first")
    commits: list[object] = []
    event.listen(database.sync_engine, "commit", commits.append)
    await asyncio.gather(*(add(queue, a_deferral(f"user{number}@other.example")) for number in range(50)))
    assert len(commits) == 1
    claimed = (await queue.claim_due(NOW, LEASE, ALL)).messages
    commits.clear()
    await asyncio.gather(*(queue.settle(each.message.id, [each.claims[0].id], [], [], NOW) for each in claimed))
    assert len(commits) == 1
    assert await rows(database) == (0, 0)
    await database.dispose()


async def test_what_is_put_off_waits_again(queue: QueueRepository) -> None:
    message = await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    again = replace(a_deferral(next_hop="third.example", due_at=NOW + MINUTE, attempts=2), last_reply="450 Busy")
    assert await queue.settle(message.id, [], [(one.id, again)], [], NOW) is None
    assert await claim(queue, NOW + MINUTE - timedelta(seconds=1)) == []
    (later,) = claims_of(await queue.claim_due(NOW + MINUTE, LEASE, ALL))
    assert (later.attempts, later.next_hop) == (2, "third.example")


async def test_a_row_that_has_the_number_of_a_deleted_one_is_left_alone(
    queue: QueueRepository, database: AsyncEngine
) -> None:
    """SQLite gives a deleted row's number to the next that comes, which we may have claimed too."""
    message = await add(queue, a_deferral(), a_deferral("eve@third.example", "third.example", NOW + MINUTE))
    (lost,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    other = await add(queue, a_deferral("new@other.example"))
    async with writing(database) as connection:
        await connection.execute(delete(QueuedDelivery).where(QueuedDelivery.id == lost.id))
        of_the_other = update(QueuedDelivery).where(QueuedDelivery.message_id == other.id)
        await connection.execute(of_the_other.values(id=lost.id))
    (ours,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    assert ours.id == lost.id
    assert await queue.renew([lost], NOW + 9 * LEASE) == frozenset()
    await queue.release([lost], NOW)
    await queue.settle(message.id, [], [(lost.id, a_deferral())], [], NOW)
    assert await queue.renew([ours], NOW + LEASE) == {ours.id}


async def test_a_recipient_can_be_replaced_by_others(queue: QueueRepository) -> None:
    """It has become an alias since."""
    message = await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    await queue.settle(message.id, [one.id], [], [a_deferral("eve@other.example")], NOW)
    assert await queue.recipients_of(message.id) == {"eve@other.example"}


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
