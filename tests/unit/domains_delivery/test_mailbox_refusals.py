"""What operators are told of mailboxes that the disk takes nothing for."""

from datetime import timedelta
from pathlib import Path, PurePath

import pytest

from tripost_domains.delivery.mailbox import refusals as module
from tripost_domains.delivery.mailbox.refusals import Refusals
from tripost_shared.clock import FrozenClock

ROOT = Path("/srv/mail")
ANN, BOB = PurePath("dest.example/ann"), PurePath("dest.example/bob")
FORGET_AFTER = timedelta(hours=2)
DENIED = "Permission denied"


@pytest.fixture
def refusals(clock: FrozenClock) -> Refusals:
    return Refusals(ROOT, clock, FORGET_AFTER)


def test_one_mailbox_is_named_with_the_folder_and_the_reason(refusals: Refusals) -> None:
    assert list(refusals.troubles()) == []
    refusals.refused(ANN, DENIED)
    assert list(refusals.troubles()) == [
        "mail folder /srv/mail: Permission denied: mail for dest.example/ann, deferred once"
    ]


def test_mailboxes_of_one_reason_are_one_trouble(refusals: Refusals) -> None:
    for mailbox in (ANN, BOB, BOB):
        refusals.refused(mailbox, DENIED)
    refusals.refused(PurePath("dest.example/eve"), "Not a directory")
    assert list(refusals.troubles()) == [
        "mail folder /srv/mail: Permission denied: mail for 2 mailboxes, such as dest.example/ann, deferred 3 times",
        "mail folder /srv/mail: Not a directory: mail for dest.example/eve, deferred once",
    ]


def test_a_mailbox_that_has_got_a_message_is_no_trouble(refusals: Refusals) -> None:
    for mailbox in (ANN, BOB):
        refusals.refused(mailbox, DENIED)
    refusals.taken(ANN)
    (trouble,) = refusals.troubles()
    assert "mail for dest.example/bob, deferred once" in trouble
    refusals.taken(BOB)
    assert list(refusals.troubles()) == []


def test_one_that_is_not_attempted_any_more_is_forgotten(refusals: Refusals, clock: FrozenClock) -> None:
    """Its mail was dropped, or has expired."""
    refusals.refused(ANN, DENIED)
    clock.advance(FORGET_AFTER - timedelta(seconds=1))
    refusals.refused(BOB, DENIED)
    clock.advance(timedelta(seconds=1))
    (trouble,) = refusals.troubles()
    assert "mail for dest.example/bob" in trouble


def test_what_is_remembered_has_a_bound(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MAILBOXES", 3)
    for number in range(9):
        refusals.refused(PurePath(f"dest.example/user{number}"), DENIED)
    (trouble,) = refusals.troubles()
    assert "mail for 3 mailboxes or more, such as dest.example/user0, deferred 3 times" in trouble
