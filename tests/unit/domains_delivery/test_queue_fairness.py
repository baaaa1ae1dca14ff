"""Which due deliveries are claimed."""

from datetime import timedelta

from queue_world import NOW
from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.queue.fairness import Due, fairest, hops_to_ask
from tripost_domains.queue.model import Share

EARLIER = NOW - timedelta(hours=1)


def test_next_hops_take_turns_and_what_is_due_longest_comes_first() -> None:
    due = [Due(1, "a.example", NOW), Due(2, "a.example", EARLIER), Due(3, "b.example", NOW), Due(4, "a.example", NOW)]
    assert fairest(due, Share(at_most=3, per_hop=3)) == [2, 3, 1]


def test_who_has_least_at_work_comes_first() -> None:
    due = [Due(1, "a.example", EARLIER), Due(2, "b.example", NOW), Due(3, "b.example", NOW)]
    assert fairest(due, Share(at_most=2, per_hop=3, busy={"a.example": 2})) == [2, 3]


def test_nobody_gets_more_than_there_is_room_for() -> None:
    due = [Due(number, f"{number % 3}.example", NOW) for number in range(30)]
    share = Share(at_most=100, per_hop=4, busy={"0.example": 3, "1.example": 9}, stuck=frozenset({"2.example"}))
    assert fairest(due, share) == [0]


def test_mailboxes_have_room_of_their_own() -> None:
    due = [Due(1, MAILBOX, NOW), Due(2, MAILBOX, NOW), Due(3, MAILBOX, NOW), Due(4, "a.example", NOW)]
    assert fairest(due, Share(at_most=1, per_hop=1, mailboxes=2)) == [4, 1, 2]


def test_only_so_many_next_hops_are_asked_as_may_get_something() -> None:
    heads = {"a.example": NOW, "b.example": EARLIER, "busy.example": EARLIER, "full.example": EARLIER, MAILBOX: NOW}
    share = Share(at_most=2, per_hop=2, busy={"busy.example": 1, "full.example": 2})
    assert hops_to_ask(heads, share) == ["b.example", "a.example", MAILBOX]
