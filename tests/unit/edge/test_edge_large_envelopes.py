"""Messages that are larger with their envelope than NATS takes: many recipients, or a small `max_payload`."""

import ssl

import pytest

from contents import read_all
from edge_world import EdgeWorld
from edge_world import a_session as a_session_with
from tripost_edge.session.session import Session, Transaction
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Finding, MessageQuestion, Verdict
from tripost_shared.edge_limits import SessionLimits
from tripost_shared.mail.reply import SmtpReply

RECIPIENTS = [f"{'x' * 50}{number:04}@{'d' * 60}.{'e' * 60}.{'f' * 55}.example" for number in range(1000)]
CONTENT = b"Subject: s\r\n\r\n" + b"x" * 100_000 + b"\r\n"


@pytest.fixture
async def world(clock: FrozenClock) -> EdgeWorld:
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), clock=clock)
    world.tiers.kinds |= dict.fromkeys(RECIPIENTS, RecipientKind.LOCAL)
    return await world.serve()


def a_session() -> Session:
    session = a_session_with()
    session.limits = SessionLimits(recipients_limit=1000)
    return session


async def sent(world: EdgeWorld, session: Session) -> SmtpReply:
    """Send CONTENT to all RECIPIENTS; gives the reply."""
    stages = world.edge.context.stages
    await stages.mail.take(session, "FROM:<a@b.example>")
    for start in range(0, len(RECIPIENTS), 100):
        arguments = [f"TO:<{one}>" for one in RECIPIENTS[start : start + 100]]
        assert {reply.code for reply in await stages.rcpt.take(session, arguments)} == {250}
    reception = stages.data.receive(session)
    assert await reception.take(CONTENT + b".\r\n")
    return await stages.data.conclude(session, reception, is_client_there=lambda: True)


async def test_what_fits_travels_inline(world: EdgeWorld) -> None:
    assert (await sent(world, a_session())).code == 250
    (message,) = world.spooled
    assert len(message.envelope.recipients) == 1000
    assert message.content.inline == CONTENT


async def test_a_question_that_is_too_large_is_asked_with_the_content_by_reference(world: EdgeWorld) -> None:
    world.bus.most_octets = 300_000
    assert (await sent(world, a_session())).code == 250
    (question,) = world.tiers.questions(MessageQuestion)
    (message,) = world.spooled
    assert question.content == message.content
    assert await read_all(world.store, message.content) == CONTENT


async def test_a_message_that_is_too_large_for_the_spool_goes_by_reference(world: EdgeWorld) -> None:
    """The filter's header fields are in it, so it is larger than the question was."""
    world.spool.most_octets = 300_000
    assert (await sent(world, a_session())).code == 250
    (message,) = world.spooled
    assert await read_all(world.store, message.content) == CONTENT


@pytest.mark.parametrize("bound", ["bus", "spool"])
async def test_an_envelope_that_is_too_large_by_itself_is_refused_for_good(world: EdgeWorld, bound: str) -> None:
    """To come again with the same envelope would change nothing (RFC 1870 §6.1)."""
    bounded = world.bus if bound == "bus" else world.spool
    bounded.most_octets = 100_000
    reply = await sent(world, a_session())
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    assert await world.store.list() == []
    assert "octets" in world.facts(Fact.REFUSED)[-1].detail


async def test_without_a_content_store_it_has_to_wait(world: EdgeWorld) -> None:
    world.bus.most_octets = 300_000
    world.store.is_unavailable = True
    assert (await sent(world, a_session())).code == 451


def test_what_is_found_for_each_of_many_recipients_is_kept_once() -> None:
    transaction = Transaction("id.1", "a@b.example")
    for number in range(1000):
        transaction.add_findings((Finding("spf", "pass"), Finding("greylist", "new", because=str(number % 10))))
    assert [finding.check for finding in transaction.findings] == ["spf"] + ["greylist"] * 10


def test_of_the_sender_the_latest_finding_of_a_check_counts() -> None:
    """Else the scores of one failure, told in other words each time, would add up."""
    transaction = Transaction("id.1", "a@b.example")
    for number in range(4):
        failed = Finding("spf", "temperror", 4.0, because=f"server {number}", degraded=True, stage="sender")
        transaction.add_findings((failed, Finding("greylist", "known", because=str(number), stage="recipient")))
    assert transaction.findings_of_sender() == ()
    transaction.add_findings((passed := Finding("spf", "pass", stage="sender"),))
    assert [finding.check for finding in transaction.findings] == ["spf"] + ["greylist"] * 4
    assert transaction.findings[0] == passed
    assert transaction.findings_of_sender() == (passed,)


async def test_a_discarded_message_leaves_nothing_in_the_content_store(world: EdgeWorld) -> None:
    world.bus.most_octets = 300_000
    world.tiers.message = Verdict(Action.DISCARD, rule="antivirus")
    assert (await sent(world, a_session())).code == 250
    assert (world.spooled, await world.store.list()) == ([], [])
    (event,) = world.facts(Fact.DISCARDED)
    assert (event.action, event.rule) == ("discard", "antivirus")
