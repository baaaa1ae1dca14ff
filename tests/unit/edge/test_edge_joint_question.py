"""A client that comes to its recipients at once is judged by the same question as they."""

import asyncio
import ssl
from collections.abc import Callable

import pytest

from edge_world import ACCEPT, EdgeWorld, a_session
from tripost_edge.session import replies
from tripost_edge.session.phase import Phase
from tripost_edge.session.session import Session
from tripost_edge.stages import connect
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import ResolveQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import (
    RECIPIENTS,
    Action,
    ConnectionQuestion,
    Finding,
    RecipientsAnswer,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.mail.reply import SmtpReply

LISTED = Verdict(Action.REJECT, (Finding("dnsbl", "listed"),), SmtpReply(554, "5.7.1", "Listed"))
UNLISTED = Verdict(Action.ACCEPT, (Finding("dnsbl", "none"),))


@pytest.fixture
async def world(clock: FrozenClock) -> EdgeWorld:
    """An edge that knows the recipient ann@dest.example, and has been asked nothing yet."""
    world = await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), clock=clock).serve()
    assert await sent(world, a_session(address="192.0.2.1"), "ann@dest.example") == [replies.RECIPIENT_OK]
    world.tiers.asked.clear()
    return world


async def sent(world: EdgeWorld, session: Session, *recipients: str) -> list[SmtpReply]:
    """Let a client that has just connected come to its recipients without any delay."""
    world.edge.context.stages.connect.begin(session)
    return await sent_later(world, session, *recipients)


async def sent_later(world: EdgeWorld, session: Session, *recipients: str) -> list[SmtpReply]:
    """Let a client that has connected before come to its recipients."""
    stages = world.edge.context.stages
    stages.connect.renew(session)
    await stages.mail.take(session, f"FROM:<{session.client.login or 'a@b.example'}>")
    return await stages.rcpt.take(session, [f"TO:<{recipient}>" for recipient in recipients])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (a bus tells nobody what it was asked)
            await asyncio.sleep(0.005)


async def test_one_question_is_about_the_client_and_its_recipients(world: EdgeWorld) -> None:
    world.tiers.connection = UNLISTED
    session = a_session()
    assert await sent(world, session, "ann@dest.example") == [replies.RECIPIENT_OK]
    (question,) = world.tiers.asked
    assert isinstance(question, RecipientsQuestion)
    assert question.and_client
    assert session.transaction is not None
    assert [finding.check for finding in session.transaction.findings] == ["dnsbl"]


async def test_its_verdict_on_the_client_counts_as_if_it_had_been_asked_for_alone(world: EdgeWorld) -> None:
    world.tiers.connection = LISTED
    for _ in range(2):
        assert [reply.code for reply in await sent(world, a_session(), "ann@dest.example")] == [554]
    assert [(event.stage, event.recipient) for event in world.facts(Fact.REFUSED)] == [
        ("connect", "ann@dest.example"),
        ("connect", "ann@dest.example"),
    ]
    assert len(world.tiers.asked) == 1


async def test_a_listed_client_in_a_network_that_may_relay_goes_on(world: EdgeWorld) -> None:
    world.tiers.connection = LISTED
    assert await sent(world, a_session(relay_permitted=True), "ann@dest.example") == [replies.RECIPIENT_OK]


async def test_a_listed_client_learns_nothing_of_the_directory(world: EdgeWorld) -> None:
    world.tiers.connection = LISTED
    answers = await sent(world, a_session(), "ann@dest.example", "nobody@dest.example")
    assert [reply.code for reply in answers] == [554, 554]
    assert [type(question) for question in world.tiers.asked] == [ConnectionQuestion]


async def test_a_filter_that_does_not_know_of_it_is_asked_about_the_client_alone(world: EdgeWorld) -> None:
    world.bus.forsake(RECIPIENTS)

    async def of_old(question: RecipientsQuestion) -> RecipientsAnswer:
        return RecipientsAnswer((ACCEPT,) * len(question.recipients))

    await world.bus.serve(RECIPIENTS, of_old)
    world.tiers.connection = LISTED
    assert [reply.code for reply in await sent(world, a_session(), "ann@dest.example")] == [554]
    assert [type(question) for question in world.tiers.asked] == [ConnectionQuestion]


async def test_an_unsound_verdict_is_not_remembered(world: EdgeWorld) -> None:
    world.tiers.connection = Verdict(Action.DEFER, (Finding("dnsbl", "no data", degraded=True),), LISTED.reply)
    assert [reply.code for reply in await sent(world, a_session(), "ann@dest.example")] == [554]
    world.tiers.connection = ACCEPT
    assert await sent(world, a_session(), "ann@dest.example") == [replies.RECIPIENT_OK]


async def test_without_an_answer_the_next_recipient_asks_again(world: EdgeWorld) -> None:
    world.bus.is_connected = False
    session = a_session()
    assert [reply.code for reply in await sent(world, session, "ann@dest.example")] == [451]
    world.bus.is_connected = True
    assert await world.edge.context.stages.rcpt.take(session, ["TO:<ann@dest.example>"]) == [replies.RECIPIENT_OK]
    assert [question.and_client for question in world.tiers.questions(RecipientsQuestion)] == [True]


async def test_a_client_that_is_farther_away_is_asked_about_while_it_speaks(world: EdgeWorld) -> None:
    session = a_session()
    world.edge.context.stages.connect.begin(session)
    assert world.tiers.asked == []
    await until(lambda: world.tiers.asked)
    assert [type(question) for question in world.tiers.asked] == [ConnectionQuestion]
    assert await sent_later(world, session, "ann@dest.example") == [replies.RECIPIENT_OK]
    assert [question.and_client for question in world.tiers.questions(RecipientsQuestion)] == [False]


async def test_what_another_session_learns_between_mail_and_rcpt_is_not_asked_again(world: EdgeWorld) -> None:
    stages, session = world.edge.context.stages, a_session()
    stages.connect.begin(session)
    await stages.mail.take(session, "FROM:<a@b.example>")
    await sent(world, a_session(), "ann@dest.example")
    world.tiers.asked.clear()
    assert await stages.rcpt.take(session, ["TO:<bob@dest.example>"]) == [replies.RECIPIENT_OK]
    assert [type(question) for question in world.tiers.asked] == [ResolveQuestion, RecipientsQuestion]


async def given_a_question_that_failed(world: EdgeWorld, session: Session) -> None:
    world.bus.is_connected = False
    world.edge.context.stages.connect.begin(session)
    await until(lambda: isinstance(session.judgement, asyncio.Task) and session.judgement.done())
    world.bus.is_connected = True


async def test_a_question_that_failed_while_the_client_was_silent_is_asked_again(world: EdgeWorld) -> None:
    await given_a_question_that_failed(world, session := a_session())
    assert await sent_later(world, session, "ann@dest.example") == [replies.RECIPIENT_OK]
    assert [type(question) for question in world.tiers.asked] == [RecipientsQuestion]


async def test_it_is_under_way_again_before_the_client_comes_to_its_recipients(world: EdgeWorld) -> None:
    await given_a_question_that_failed(world, session := a_session())
    world.edge.context.stages.connect.renew(session)
    await until(lambda: world.tiers.asked)
    assert [type(question) for question in world.tiers.asked] == [ConnectionQuestion]


@pytest.mark.parametrize(
    ("recipient", "questions"),
    [
        pytest.param("ann@dest.example", [RecipientsQuestion], id="recipient known"),
        pytest.param(
            "bob@dest.example", [ConnectionQuestion, ResolveQuestion, RecipientsQuestion], id="recipient unknown"
        ),
    ],
)
async def test_a_question_that_failed_between_mail_and_rcpt_is_asked_again(
    world: EdgeWorld, recipient: str, questions: list[type[object]]
) -> None:
    stages, session = world.edge.context.stages, a_session()
    await stages.mail.take(session, "FROM:<a@b.example>")
    await given_a_question_that_failed(world, session)
    assert await stages.rcpt.take(session, [f"TO:<{recipient}>"]) == [replies.RECIPIENT_OK]
    assert [type(question) for question in world.tiers.asked] == questions


async def test_nobody_asks_about_a_client_that_has_gone_by_then(
    world: EdgeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "HELD_BACK_SECONDS", 0.0)
    gone, still_here = a_session(address="192.0.2.8"), a_session(address="192.0.2.9")
    for session in (gone, still_here):
        world.edge.context.stages.connect.begin(session)
    gone.phase = Phase.CLOSED
    await until(lambda: world.tiers.asked)
    assert [question.client.address for question in world.tiers.questions(ConnectionQuestion)] == ["192.0.2.9"]


async def test_a_login_does_not_vouch_for_the_address_that_it_came_from(world: EdgeWorld) -> None:
    await sent(world, a_session(login="user@dest.example"), "ann@dest.example")
    (question,) = world.tiers.questions(ConnectionQuestion)
    assert question.client.login == ""
    assert [question.and_client for question in world.tiers.questions(RecipientsQuestion)] == [False]
