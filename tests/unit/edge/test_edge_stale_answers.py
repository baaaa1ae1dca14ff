"""An answer that was under way when the directory changed counts for its asker, and is not remembered.

A question says which change edge knows of, so that an answer that is remembered is from after it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest

from edge_world import EdgeWorld, a_session
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import MAY_SEND, RESOLVE, MaySendQuestion, ResolveQuestion
from tripost_shared.contracts.subject import Subject

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)


@pytest.fixture
async def world() -> EdgeWorld:
    return await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).serve()


async def change_under_way(
    world: EdgeWorld,
    subject: Subject[Question, Answer],
    answer: Callable[[Question], Awaitable[Answer]],
    command: Callable[[], Awaitable[object]],
) -> None:
    """Give the command; the directory changes after its question was answered, before the answer has come."""
    answered, may_arrive = asyncio.Event(), asyncio.Event()

    async def held(question: Question) -> Answer:
        given = await answer(question)
        answered.set()
        await may_arrive.wait()
        return given

    world.bus.forsake(subject)
    await world.bus.serve(subject, held)
    commanded = asyncio.ensure_future(command())
    async with asyncio.timeout(5):
        await answered.wait()
        world.edge.take_directory_change(DirectoryChange(revision=2))
        may_arrive.set()
        await commanded


async def test_a_grant_is_asked_for_again(world: EdgeWorld) -> None:
    mail = world.edge.context.stages.mail
    login = "user@dest.example"
    await change_under_way(
        world, MAY_SEND, world.tiers._may_send, lambda: mail.take(a_session(login=login), f"FROM:<{login}>")
    )
    for _ in range(2):
        assert (await mail.take(a_session(login=login), f"FROM:<{login}>")).is_positive
    assert len(world.tiers.questions(MaySendQuestion)) == 2  # the second one's answer is remembered


async def test_a_recipient_is_asked_for_again(world: EdgeWorld) -> None:
    stages = world.edge.context.stages

    async def rcpt() -> None:
        session = a_session()
        await stages.mail.take(session, "FROM:<a@b.example>")
        (reply,) = await stages.rcpt.take(session, ["TO:<ann@dest.example>"])
        assert reply.is_positive

    await change_under_way(world, RESOLVE, world.tiers._resolve, rcpt)
    for _ in range(2):
        await rcpt()
    assert len(world.tiers.questions(ResolveQuestion)) == 2


async def asked_with(world: EdgeWorld) -> tuple[set[int], set[int]]:
    """Give the revisions of the questions at MAIL and at RCPT of a new transaction."""
    stages, login = world.edge.context.stages, "user@dest.example"
    world.tiers.asked.clear()
    session = a_session(login=login)
    await stages.mail.take(session, f"FROM:<{login}>")
    await stages.rcpt.take(session, ["TO:<ann@dest.example>"])
    grants, recipients = world.tiers.questions(MaySendQuestion), world.tiers.questions(ResolveQuestion)
    return {one.directory_revision for one in grants}, {one.directory_revision for one in recipients}


async def test_questions_carry_the_newest_revision_that_is_known(world: EdgeWorld) -> None:
    """Also one that goes back: a cluster that has lost its state counts anew."""
    assert await asked_with(world) == ({0}, {0})
    assert await asked_with(world) == (set(), set())
    for revision in (7, 9, 3):
        world.edge.take_directory_change(DirectoryChange(revision))
        assert await asked_with(world) == ({revision}, {revision})
