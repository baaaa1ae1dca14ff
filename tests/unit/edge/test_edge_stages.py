"""What is decided at each command, without sockets."""

import asyncio
import ssl
from datetime import timedelta

import pytest

from edge_world import EdgeWorld, a_session
from tripost_edge.session import replies
from tripost_edge.session.phase import Phase
from tripost_edge.session.session import Session
from tripost_edge.stages.sasl import Credentials
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import RESOLVE, RecipientKind, ResolveAnswer, ResolveQuestion
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import (
    Action,
    ConnectionQuestion,
    Finding,
    MessageQuestion,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.mail.reply import SmtpReply

LISTED = Verdict(Action.REJECT, (Finding("dnsbl", "listed"),), SmtpReply(554, "5.7.1", "Listed"))
SPF = Finding("spf", "pass", because="192.0.2.7 is permitted")


@pytest.fixture
async def world(clock: FrozenClock) -> EdgeWorld:
    return await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), clock=clock).serve()


async def mail(world: EdgeWorld, session: Session, reverse_path: str = "a@b.example") -> SmtpReply:
    return await world.edge.context.stages.mail.take(session, f"FROM:<{reverse_path}>")


async def rcpt(world: EdgeWorld, session: Session, *addresses: str) -> list[SmtpReply]:
    return await world.edge.context.stages.rcpt.take(session, [f"TO:<{address}>" for address in addresses])


async def content(world: EdgeWorld, session: Session, octets: bytes, *, is_there: bool = True) -> SmtpReply:
    data = world.edge.context.stages.data
    reception = data.receive(session)
    assert await reception.take(octets + b".\r\n")
    return await data.conclude(session, reception, is_client_there=lambda: is_there)


async def test_a_client_is_judged_once_in_a_while(world: EdgeWorld, clock: FrozenClock) -> None:
    connect = world.edge.context.stages.connect
    sessions = [a_session() for _ in range(3)]
    for session in sessions:
        connect.begin(session)
    await asyncio.gather(*(connect.judgement(session) for session in sessions))
    assert len(world.tiers.questions(ConnectionQuestion)) == 1
    clock.advance(timedelta(seconds=59))
    connect.begin(later := a_session())
    await connect.judgement(later)
    assert len(world.tiers.questions(ConnectionQuestion)) == 1
    clock.advance(timedelta(seconds=1))
    connect.begin(much_later := a_session())
    await connect.judgement(much_later)
    assert len(world.tiers.questions(ConnectionQuestion)) == 2


async def test_an_announced_client_is_not_taken_for_one_that_connected_itself(world: EdgeWorld) -> None:
    connect = world.edge.context.stages.connect
    unnamed = a_session(announced_by_proxy=True, unnamed_by_proxy=True)
    for session in (a_session(), a_session(announced_by_proxy=True), unnamed):
        connect.begin(session)
        await connect.judgement(session)
    assert len(world.tiers.questions(ConnectionQuestion)) == 3


async def test_a_connection_that_was_not_judged_is_asked_about_again(world: EdgeWorld) -> None:
    world.bus.is_connected = False
    session = a_session()
    world.edge.context.stages.connect.begin(session)
    await mail(world, session)
    assert [reply.code for reply in await rcpt(world, session, "ann@dest.example")] == [451]
    world.bus.is_connected = True
    assert await rcpt(world, session, "ann@dest.example") == [replies.RECIPIENT_OK]


@pytest.mark.parametrize(
    ("client", "code"),
    [
        pytest.param({}, 554, id="stranger"),
        pytest.param({"relay_permitted": True}, 250, id="in a network that may relay"),
    ],
)
async def test_a_block_list_stops_strangers_only(world: EdgeWorld, client: dict[str, bool], code: int) -> None:
    world.tiers.connection = LISTED
    session = a_session(**client)
    await mail(world, session)
    assert [reply.code for reply in await rcpt(world, session, "ann@dest.example")] == [code]


async def test_the_filter_is_never_asked_about_recipients_that_we_do_not_have(world: EdgeWorld) -> None:
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "nobody@dest.example", "far@elsewhere.example", "off@dest.example")
    assert world.tiers.questions(RecipientsQuestion) == []
    assert [(event.recipient, event.reply[:9]) for event in world.facts(Fact.REFUSED)] == [
        ("nobody@dest.example", "550 5.1.1"),
        ("far@elsewhere.example", "550 5.7.1"),
        ("off@dest.example", "550 5.2.1"),
    ]


async def test_known_recipients_are_not_resolved_again_until_the_directory_changes(
    world: EdgeWorld, clock: FrozenClock
) -> None:
    session = a_session()
    for _ in range(2):
        await mail(world, session)
        await rcpt(world, session, "ann@dest.example", "nobody@dest.example")
        session.transaction = None
    asked = [question.recipients for question in world.tiers.questions(ResolveQuestion)]
    assert asked == [("ann@dest.example", "nobody@dest.example"), ("nobody@dest.example",)]
    world.tiers.kinds["ann@dest.example"] = RecipientKind.DISABLED
    world.edge.take_directory_change(DirectoryChange(revision=2))
    await mail(world, session)
    (reply,) = await rcpt(world, session, "ann@dest.example")
    assert (reply.code, reply.enhanced) == (550, "5.2.1")


async def test_an_answer_about_other_recipients_is_no_answer(world: EdgeWorld) -> None:
    world.bus.forsake(RESOLVE)

    async def short(_: ResolveQuestion) -> ResolveAnswer:
        return ResolveAnswer((RecipientKind.LOCAL,))

    await world.bus.serve(RESOLVE, short)
    session = a_session()
    await mail(world, session)
    assert [reply.code for reply in await rcpt(world, session, "a@dest.example", "b@dest.example")] == [451, 451]


async def test_a_verdict_counts_for_its_recipient_only(world: EdgeWorld) -> None:
    world.tiers.recipients["bob@dest.example"] = Verdict(
        Action.DEFER, (Finding("greylist", "new"),), SmtpReply(451, "4.7.1", "Come back later")
    )
    session = a_session()
    await mail(world, session)
    first, second, third = await rcpt(world, session, "ann@dest.example", "bob@dest.example", "ann@dest.example")
    assert (first, third) == (replies.RECIPIENT_OK, replies.RECIPIENT_OK)
    assert str(second) == "451 4.7.1 Come back later (1k3v9q2m8f0abcde.1)"
    assert session.transaction is not None
    assert list(session.transaction.recipients) == ["ann@dest.example"]


async def test_findings_ride_along_to_the_message_stage_each_once(world: EdgeWorld) -> None:
    world.tiers.connection = Verdict(Action.ACCEPT, (Finding("dnsbl", "none"),))
    for address in ("ann@dest.example", "bob@dest.example"):
        world.tiers.recipients[address] = Verdict(Action.ACCEPT, (SPF, Finding("greylist", "known", because=address)))
    world.tiers.message = Verdict(
        Action.ACCEPT, (SPF, Finding("dkim", "pass")), header_fields=b"Authentication-Results: x\r\n", score=1.5
    )
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example", "bob@dest.example")
    assert (await content(world, session, b"Subject: s\r\n\r\nb\r\n")).code == 250
    (question,) = world.tiers.questions(MessageQuestion)
    assert [finding.check for finding in question.findings] == ["dnsbl", "spf", "greylist", "greylist"]
    (event,) = world.facts(Fact.ACCEPTED)
    assert [finding.check for finding in event.findings] == ["dnsbl", "spf", "greylist", "greylist", "dkim"]
    (message,) = world.spooled
    assert message.header_fields.startswith(b"Received: ")
    assert message.header_fields.endswith(b"\r\nAuthentication-Results: x\r\n")
    assert message.verdict == world.tiers.message


async def test_the_sender_is_judged_again_only_while_a_check_cannot_do_its_work(world: EdgeWorld) -> None:
    """For a client that waits for each reply every recipient is a question."""
    failed = Finding("spf", "temperror", degraded=True, stage="sender")
    passed = Finding("spf", "pass", stage="sender")
    session = a_session()
    await mail(world, session)
    for address, finding in (("ann@dest.example", failed), ("bob@dest.example", passed), ("user@dest.example", passed)):
        world.tiers.recipients[address] = Verdict(Action.ACCEPT, (finding,))
        await rcpt(world, session, address)
    assert [question.sender for question in world.tiers.questions(RecipientsQuestion)] == [(), (), (passed,)]
    assert session.transaction is not None
    assert session.transaction.findings == [passed]


async def test_an_accepted_message_s_fact_says_what_monitor_mode_held_back(world: EdgeWorld) -> None:
    world.tiers.message = Verdict(Action.TAG, score=7.5, rule="monitor:dnsbl", intended=Action.REJECT)
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    assert (await content(world, session, b"x\r\n")).code == 250
    (event,) = world.facts(Fact.ACCEPTED)
    assert (event.action, event.rule, event.intended, event.score) == ("tag", "monitor:dnsbl", "reject", 7.5)


async def test_a_refused_recipient_s_fact_names_the_rule(world: EdgeWorld) -> None:
    world.tiers.recipients["ann@dest.example"] = Verdict(Action.DEFER, (Finding("greylist", "new"),), rule="greylist")
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    (event,) = world.facts(Fact.REFUSED)
    assert (event.action, event.rule, [finding.check for finding in event.findings]) == (
        "defer",
        "greylist",
        ["greylist"],
    )


async def test_a_refused_message_s_fact_says_its_verdict_once(world: EdgeWorld) -> None:
    world.tiers.message = Verdict(Action.REJECT, (Finding("patterns", "spam"),), LISTED.reply, rule="patterns")
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    await content(world, session, b"x\r\n")
    (event,) = world.facts(Fact.REFUSED)
    assert (event.action, event.rule, event.detail) == ("reject", "patterns", "")


async def test_the_name_that_reverse_dns_confirmed_stands_in_the_received_field(world: EdgeWorld) -> None:
    finding = Finding("reverse_dns", "pass", evidence={"name": "mail.b.example"})
    world.tiers.connection = Verdict(Action.ACCEPT, (finding,))
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    await content(world, session, b"x\r\n")
    assert b"from client.example (mail.b.example [192.0.2.7])" in world.spooled[0].header_fields


async def test_a_client_that_has_gone_before_the_answer_will_come_again(world: EdgeWorld) -> None:
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    assert (await content(world, session, b"x\r\n", is_there=False)).code == 451
    assert world.spooled == []


async def test_stored_content_of_a_refused_message_is_deleted(world: EdgeWorld) -> None:
    world.tiers.message = Verdict(Action.REJECT)
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    assert (await content(world, session, b"\r\n" + b"x" * 200_000 + b"\r\n")).code == 550
    (question,) = world.tiers.questions(MessageQuestion)
    assert question.content.stored == "1k3v9q2m8f0abcde.1"
    assert await world.store.list() == []


async def test_content_that_may_be_in_the_spool_is_kept(world: EdgeWorld) -> None:
    """Without an acknowledgement nobody knows: the message may be delivered from there."""
    world.spool.is_unavailable = True
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    assert (await content(world, session, b"\r\n" + b"x" * 200_000 + b"\r\n")).code == 451
    assert len(await world.store.list()) == 1


@pytest.mark.parametrize("octets", [1000, 300_000])
async def test_without_a_content_store_small_messages_pass_and_large_ones_wait(world: EdgeWorld, octets: int) -> None:
    world.store.is_unavailable = True
    session = a_session()
    await mail(world, session)
    await rcpt(world, session, "ann@dest.example")
    reply = await content(world, session, b"\r\n" + b"x" * octets + b"\r\n")
    assert reply.code == (250 if octets == 1000 else 451)


async def test_a_refused_transaction_leaves_the_session_usable(world: EdgeWorld) -> None:
    session = a_session(login="user@dest.example")
    assert (await mail(world, session, "boss@dest.example")).code == 553
    assert session.transaction is None
    assert await mail(world, session, "user@dest.example") == replies.SENDER_OK
    assert session.phase is Phase.CONNECTED  # the phase is the table's business alone


def test_a_password_is_in_no_representation() -> None:
    assert "secret" not in repr(Credentials("ann", "secret"))
