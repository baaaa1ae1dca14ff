"""Claims in the deferred queue, the same on SQLite and on PostgreSQL: what is due, and whose it is."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from queue_world import ALL, BOB, LEASE, MINUTE, NOW, a_deferral, add, claim, claims_of, operator_sets, rows
from spooled import damaged_message
from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.queue import due
from tripost_domains.queue.model import Share
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import reading, writing


@pytest.fixture(autouse=True, params=["little is due", "more is due than is read"])
def _how_much_is_due(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is claimed is the same; only how it is found is not."""
    if request.param != "little is due":
        monkeypatch.setattr(due, "OLDEST_READ", 1)


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
        assert await queue.renew([one], NOW + 3 * LEASE) == {one.id}
        assert await claim(replica, NOW + 3 * LEASE) == []

    async def test_who_lost_a_claim_is_told_so_and_changes_nothing(
        self, queue: QueueRepository, replica: QueueRepository, database: AsyncEngine
    ) -> None:
        message = await add(queue, a_deferral(), a_deferral("eve@other.example"))
        one, other = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert await claim(replica, NOW + 2 * LEASE) == [BOB, "eve@other.example"]
        assert await queue.renew([one, other], NOW + 9 * LEASE) == frozenset()
        await queue.settle(message.id, [one.id], [(other.id, a_deferral())], [], NOW)
        await queue.give_back(NOW)
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

    async def test_what_is_given_back_is_due_for_all_at_once_and_may_be_settled(
        self, queue: QueueRepository, replica: QueueRepository
    ) -> None:
        """An attempt may have gone well before its process ended, with no time left to delete the row."""
        await add(queue, a_deferral())
        (first,) = (await queue.claim_due(NOW, LEASE, ALL)).messages
        await replica.give_back(NOW)
        assert await claim(replica) == []
        await queue.give_back(NOW)
        (again,) = (await replica.claim_due(NOW, LEASE, Share(100, 100, takes_over=False))).messages
        assert (first.may_be_settled, again.may_be_settled) == (False, True)
        assert [each.id for each in again.claims] == [each.id for each in first.claims]

    async def test_what_is_released_was_not_attempted(self, queue: QueueRepository, replica: QueueRepository) -> None:
        await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        await queue.release([one], NOW)
        (again,) = (await replica.claim_due(NOW, LEASE, ALL)).messages
        assert not again.may_be_settled

    async def test_what_may_be_settled_stays_so_when_it_is_released(
        self, queue: QueueRepository, replica: QueueRepository
    ) -> None:
        """Whoever claims it next asks the tracking, too; of its neighbour, that was not claimed before, nobody does."""
        message = await add(queue, a_deferral())
        await claim(queue)
        await queue.give_back(NOW)
        await queue.add(message, message.content, [a_deferral("eve@other.example")], NOW)
        claimed = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert {each.recipient.address: each.may_be_settled for each in claimed} == {
            BOB: True,
            "eve@other.example": False,
        }
        await queue.release(claimed, NOW + MINUTE)
        assert await claim(replica) == []
        again = claims_of(await replica.claim_due(NOW + MINUTE, LEASE, ALL))
        assert {each.recipient.address: each.may_be_settled for each in again} == {
            BOB: True,
            "eve@other.example": False,
        }

    @pytest.mark.parametrize("may_be_settled", [True, False])
    async def test_what_is_put_off_may_be_settled_if_it_is_said_to(
        self, queue: QueueRepository, may_be_settled: bool
    ) -> None:
        """Of those put off and of those that come instead of an alias."""
        message = await add(queue, a_deferral(), a_deferral("all@other.example"))
        one, other = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        again, eve = (
            replace(a_deferral(recipient), may_be_settled=may_be_settled) for recipient in (BOB, "eve@other.example")
        )
        await queue.settle(message.id, [other.id], [(one.id, again)], [eve], NOW)
        claimed = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert [each.may_be_settled for each in claimed] == [may_be_settled] * 2

    async def test_an_owner_may_have_a_long_name(self, database: AsyncEngine) -> None:
        """A host's name has up to 253 octets, and names that differ at their end only are two owners."""
        host = ".".join(["a" * 62] * 4)[:253]
        queue, replica = QueueRepository(database, f"{host}/4711"), QueueRepository(database, f"{host}/4712")
        await add(queue, a_deferral())
        (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
        assert await replica.renew([one], NOW + LEASE) == frozenset()
        assert await queue.renew([one], NOW + LEASE) == {one.id}


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
    busy = frozenset({(one.id, one.message_id), (other.id, other.message_id)})
    assert await claim(queue, later, Share(100, 100, busy_rows=busy)) == []
    assert await claim(queue, later, Share(100, 1, busy={one.next_hop: 1})) == [other.recipient.address]


async def test_a_new_delivery_with_a_deleted_ones_number_is_not_busy(queue: QueueRepository) -> None:
    """SQLite numbers it so once an operator has dropped the newest one, which may be set aside for an hour."""
    await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    later = NOW + 2 * LEASE
    dropped = frozenset({(one.id, "1k3v9q2m8f0abcde.9")})
    assert await claim(queue, later, Share(100, 100, busy_rows=dropped)) == [BOB]


async def test_what_is_at_work_counts_in_a_next_hops_share(queue: QueueRepository) -> None:
    for number in range(5):
        await add(queue, a_deferral(f"user{number}@other.example"), a_deferral(f"x{number}@b.example", "b.example"))
    claimed = await claim(queue, share=Share(at_most=100, per_hop=4, busy={"other.example": 3}))
    assert sorted(each.partition("@")[2] for each in claimed) == ["b.example"] * 4 + ["other.example"]


async def test_who_has_least_at_work_comes_first(queue: QueueRepository) -> None:
    await add(queue, a_deferral("bob@busy.example", "busy.example", NOW - timedelta(hours=1)))
    await add(queue, a_deferral("bob@idle.example", "idle.example"))
    assert await claim(queue, share=Share(at_most=1, per_hop=4, busy={"busy.example": 3})) == ["bob@idle.example"]


async def test_a_next_hop_that_is_stuck_gets_nothing_now(queue: QueueRepository) -> None:
    await add(queue, a_deferral(), a_deferral("eve@third.example", "third.example"))
    assert await claim(queue, share=replace(ALL, stuck=frozenset({"other.example"}))) == ["eve@third.example"]


async def test_mailboxes_have_a_share_of_their_own(queue: QueueRepository) -> None:
    for number in range(5):
        await add(queue, a_deferral(f"user{number}@other.example"), a_deferral(f"x{number}@dest.example", MAILBOX))
    claimed = await claim(queue, share=Share(at_most=2, per_hop=1, mailboxes=4, busy={MAILBOX: 1}))
    assert sorted(each.partition("@")[2] for each in claimed) == ["dest.example"] * 3 + ["other.example"]
    assert await claim(queue, share=Share(at_most=0, per_hop=1, mailboxes=1)) != []


async def test_recipients_of_one_message_and_next_hop_come_together(queue: QueueRepository) -> None:
    message = await add(
        queue, a_deferral(), a_deferral("eve@other.example"), a_deferral("x@third.example", "third.example")
    )
    claimed = (await queue.claim_due(NOW, LEASE, ALL)).messages
    assert sorted(len(each.claims) for each in claimed) == [1, 2]
    assert {each.message.id for each in claimed} == {message.id}


async def test_a_released_claim_counts_no_attempt(queue: QueueRepository) -> None:
    await add(queue, a_deferral())
    (one,) = claims_of(await queue.claim_due(NOW, LEASE, ALL))
    await queue.release([one], NOW + timedelta(seconds=5))
    (again,) = claims_of(await queue.claim_due(NOW + timedelta(seconds=5), LEASE, ALL))
    assert again.attempts == 1


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
    claimed = await queue.claim_due(NOW, LEASE, ALL)
    assert [one.recipient.address for one in claims_of(claimed)] == [BOB]
    assert [(each.message_id, each.recipients) for each in claimed.unreadable] == [
        (broken.id, ("broken@other.example",))
    ]
    async with reading(database) as connection:
        of_broken = select(QueuedDelivery.state, QueuedDelivery.last_reply, QueuedDelivery.claimed_by)
        row = (await connection.execute(of_broken.where(QueuedDelivery.message_id == broken.id))).one()
    assert (row.state, row.claimed_by) == (DeliveryState.HELD, "")
    assert "cannot be read" in row.last_reply


@pytest.mark.parametrize("was_abandoned", [True, False])
async def test_what_cannot_be_read_and_may_have_been_delivered_is_held_as_such(
    queue: QueueRepository, database: AsyncEngine, was_abandoned: bool
) -> None:
    """Released, it becomes a claim by nobody again, so that the tracking is asked before it is delivered once more."""
    await add(queue, a_deferral())
    if was_abandoned:
        assert await claim(queue) == [BOB]
    async with writing(database) as connection:
        await connection.execute(update(QueuedMessage).values(spooled=b"\xc1 no MessagePack"))
    assert len((await queue.claim_due(NOW + LEASE, LEASE, ALL)).unreadable) == 1
    async with reading(database) as connection:
        row = (await connection.execute(select(QueuedDelivery.state, QueuedDelivery.claimed_until))).one()
    assert (row.state, row.claimed_until is not None) == (DeliveryState.HELD, was_abandoned)
