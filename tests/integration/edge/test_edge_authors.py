"""A login writes as nobody but those that it may send as (RFC 6409 §6.1)."""

from base64 import b64encode

import msgspec
import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.domains import MAY_SEND, MaySendQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.listeners import BUILT_IN

USER = "user@dest.example"
LOGIN = b64encode(f"\0{USER}\0secret".encode()).decode()
UP_TO_CONTENT = (
    f"C: MAIL FROM:<{USER}>\nC: RCPT TO:<far@elsewhere.example>\nC: DATA\nS: 250 *\nS: 250 2.1.5 *\nS: 354 *\n"
)


@pytest.fixture
async def logged_in(submitting: Dialog) -> Dialog:
    await submitting(f"C: AUTH PLAIN {LOGIN}\nS: 235 *")
    return submitting


@pytest.mark.parametrize(
    ("header", "reply"),
    [
        pytest.param(f"From: {USER}", "250 2.0.0 *", id="its own address"),
        pytest.param('From: "A User" <News@dest.example>', "250 2.0.0 *", id="granted"),
        pytest.param(f"From: News@dest.example, {USER}", "250 2.0.0 *", id="both"),
        pytest.param("From: boss@big.example", "550 5.7.1 Not allowed to write as this author*", id="a stranger"),
        pytest.param(f"From: {USER}, boss@big.example", "550 5.7.1 *", id="a stranger as well"),
        pytest.param(f'From: "Boss <boss@big.example>" <{USER}>', "550 5.7.1 *", id="a stranger in a quoted name"),
        pytest.param(f"From: {USER}\nC: From: {USER}", "550 5.6.0 Message needs one From field*", id="two fields"),
        pytest.param("Subject: x", "550 5.6.0 *", id="no field"),
        pytest.param("", "550 5.6.0 *", id="no header"),
        pytest.param("From: all:;", "550 5.6.0 *", id="a group"),
    ],
)
async def test_the_author_must_be_one_that_the_login_may_send_as(
    world: EdgeWorld, logged_in: Dialog, header: str, reply: str
) -> None:
    world.tiers.grants.add((USER, "News@dest.example"))
    await logged_in(UP_TO_CONTENT + f"C: {header}\nC:\nC: body\nC: .\nS: {reply}\nC: NOOP\nS: 250 *")
    assert len(world.spooled) == reply.startswith("250")


async def test_the_trace_names_the_author(world: EdgeWorld, logged_in: Dialog) -> None:
    await logged_in(UP_TO_CONTENT + "C: From: boss@big.example\nC: .\nS: 550 5.7.1 *")
    (event,) = world.facts(Fact.REFUSED)
    assert (event.stage, event.login) == ("data", USER)
    assert event.detail == f"{USER} may not write as boss@big.example"


async def test_in_chunks_it_is_the_same(world: EdgeWorld, logged_in: Dialog) -> None:
    await logged_in(UP_TO_CONTENT.replace("C: DATA\n", "").replace("S: 354 *\n", ""))
    logged_in.send(b"BDAT 24 LAST\r\nFrom: boss@big.example\r\n")
    await logged_in("S: 550 5.7.1 *")
    assert world.spooled == []


async def test_one_author_who_is_the_sender_costs_no_question(world: EdgeWorld, logged_in: Dialog) -> None:
    await logged_in((UP_TO_CONTENT + f"C: From: {USER}\nC: .\nS: 250 *\n") * 2)
    assert [question.reverse_path for question in world.tiers.questions(MaySendQuestion)] == [USER]


async def test_when_domains_cannot_say_the_client_keeps_its_message(world: EdgeWorld, logged_in: Dialog) -> None:
    await logged_in(UP_TO_CONTENT)
    world.bus.forsake(MAY_SEND)
    await logged_in("C: From: news@dest.example\nC: .\nS: 451 4.3.0 *")


async def test_the_configuration_can_allow_any_author(world: EdgeWorld, logged_in: Dialog) -> None:
    world.edge.take_config(EdgeConfig(check_author=False))
    await logged_in(UP_TO_CONTENT + "C: From: boss@big.example\nC: .\nS: 250 *")
    world.edge.take_config(EdgeConfig())
    await logged_in(UP_TO_CONTENT + "C: From: boss@big.example\nC: .\nS: 550 5.7.1 *")


async def test_a_listener_can_allow_any_author_in_sessions_that_are_open(world: EdgeWorld, logged_in: Dialog) -> None:
    listener = BUILT_IN["submission"]
    await world.configure(msgspec.structs.replace(listener, check_author=False))
    await logged_in(UP_TO_CONTENT + "C: From: boss@big.example\nC: .\nS: 250 *")
    await world.configure()
    await logged_in(UP_TO_CONTENT + "C: From: boss@big.example\nC: .\nS: 550 5.7.1 *")


async def test_clients_without_a_login_write_as_anybody(world: EdgeWorld, dialog: Dialog) -> None:
    """What of theirs is forged, the filter says (DMARC)."""
    await dialog(
        "C: MAIL FROM:<a@b.example>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *\n"
        "C: From: boss@big.example, x: y;\nC: .\nS: 250 *"
    )
