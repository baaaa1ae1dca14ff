"""A login that is over, or loses a right, while it has a transaction open (MAIL was answered with 250 before)."""

from base64 import b64encode

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import MAY_SEND, MaySendQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict

USER = "user@dest.example"
LOGIN = b64encode(f"\0{USER}\0secret".encode()).decode()
MAIL = f"C: AUTH PLAIN {LOGIN}\nS: 235 *\nC: MAIL FROM:<{USER}>\nS: 250 *\n"
RCPT = "C: RCPT TO:<far@elsewhere.example>\nS: 250 2.1.5 *\n"
DATA = "C: DATA\nS: 354 *\n"
END = f"C: From: {USER}\nC:\nC: .\n"
OVER = "S: 421 4.7.0 Login is not valid any more*\nS: <closed>"

ways_to_end = pytest.mark.parametrize(
    "passwords", [pytest.param({}, id="disabled"), pytest.param({USER: "another"}, id="new password")]
)


def change_directory(world: EdgeWorld, *, passwords: dict[str, str] | None = None) -> None:
    if passwords is not None:
        world.tiers.passwords = passwords
    world.edge.take_directory_change(DirectoryChange(revision=2))


@ways_to_end
@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(MAIL, RCPT, id="between MAIL and RCPT"), pytest.param(MAIL + RCPT, "", id="between RCPT and DATA")],
)
async def test_a_login_that_is_over_may_not_begin_to_send_content(
    world: EdgeWorld, submitting: Dialog, passwords: dict[str, str], before: str, after: str
) -> None:
    await submitting(before)
    change_directory(world, passwords=passwords)
    await submitting(after + "C: DATA\n" + OVER)
    (event,) = world.facts(Fact.REFUSED)
    assert (event.stage, event.login, event.reverse_path) == ("data", USER, USER)


@ways_to_end
@pytest.mark.parametrize("octets", [1000, 200_000], ids=["held in memory", "in the content store"])
async def test_what_a_login_was_sending_when_it_ended_is_not_taken(
    world: EdgeWorld, submitting: Dialog, passwords: dict[str, str], octets: int
) -> None:
    await submitting(MAIL + RCPT + DATA)
    submitting.send(b"From: user@dest.example\r\n\r\n" + b"x" * octets)
    change_directory(world, passwords=passwords)
    await submitting("C:\nC: .\n" + OVER)
    assert world.spooled == world.facts(Fact.ACCEPTED) == await world.store.list() == []
    (event,) = world.facts(Fact.REFUSED)
    assert (event.stage, event.login, event.recipients) == ("data", USER, ("far@elsewhere.example",))


async def test_the_null_reverse_path_needs_a_login_that_stands(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(f"C: AUTH PLAIN {LOGIN}\nS: 235 *\nC: MAIL FROM:<>\nS: 250 *\n" + RCPT + DATA)
    change_directory(world, passwords={})
    await submitting(END + OVER)
    assert world.spooled == []


async def test_a_right_that_was_taken_away_is_not_used_any_more(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(MAIL + RCPT)
    world.tiers.grants.clear()
    change_directory(world)
    await submitting("C: DATA\nS: 553 5.7.1 Not allowed to send as this address*\nC: NOOP\nS: 250 *")
    assert world.spooled == []


async def test_other_changes_of_the_directory_hinder_no_transaction(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(MAIL)
    change_directory(world)
    await submitting(RCPT)
    change_directory(world)
    await submitting(DATA)
    change_directory(world)
    await submitting(END + "S: 250 2.0.0 Accepted *")
    assert len(world.spooled) == 1


async def test_without_a_change_a_transaction_asks_once(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(MAIL + RCPT + DATA + END + "S: 250 2.0.0 Accepted *")
    assert len(world.tiers.questions(MaySendQuestion)) == 1


async def test_of_a_client_without_a_login_nothing_is_asked(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *\n" + DATA)
    change_directory(world)
    await dialog("C: .\nS: 250 2.0.0 Accepted *")
    assert world.tiers.questions(MaySendQuestion) == []


async def test_when_domains_cannot_say_the_client_keeps_its_message(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(MAIL + RCPT + DATA)
    world.bus.forsake(MAY_SEND)
    change_directory(world)
    await submitting(END + "S: 451 4.3.0 *\nC: MAIL FROM:<>\nS: 451 4.3.0 *")
    assert world.spooled == []


async def test_when_domains_cannot_say_at_data_the_transaction_stays_open(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(MAIL + RCPT)
    world.bus.is_connected = False
    change_directory(world)
    await submitting("C: DATA\nS: 451 4.3.0 *")
    world.bus.is_connected = True
    await submitting(DATA + END + "S: 250 2.0.0 Accepted *")
    assert len(world.spooled) == 1


async def test_what_the_filter_refuses_is_refused_whatever_became_of_the_login(
    world: EdgeWorld, submitting: Dialog
) -> None:
    world.tiers.message = Verdict(Action.REJECT)
    await submitting(MAIL + RCPT + DATA)
    world.bus.forsake(MAY_SEND)
    change_directory(world)
    await submitting(END + "S: 550 5.7.1 *")
    assert world.spooled == []
