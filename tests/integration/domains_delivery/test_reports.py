"""What senders ask to be told (RFC 3461): carried on to next hops, or told by us."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import Message

import msgspec
import pytest
from sqlalchemy import update

from delivery_world import (
    BOB,
    OCTETS,
    Delivery,
    expire,
    make_message,
    make_older,
    next_look,
    patient,
    retry_now,
    route,
    until_queued,
)
from next_hop import USUAL_EXTENSIONS, NextHop
from tripost_domains.delivery.bouncer import MAX_RETURNED_OCTETS
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction, SpooledMessage
from tripost_shared.database.models import QueuedDelivery
from tripost_shared.database.transactions import writing
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient

ANN = "ann@dest.example"
SENDER = "ann@sender.example"
EVERYTHING = ("SUCCESS", "FAILURE", "DELAY")
WITH_DSN = (*USUAL_EXTENSIONS, "DSN")


def asking(
    *recipients: Recipient, ret: str = "", envid: str = "", content: bytes = OCTETS, doubtful: bool = False
) -> SpooledMessage:
    """A message whose sender wants to be told."""
    return msgspec.structs.replace(
        make_message(content=Content.of(content)),
        envelope=Envelope(SENDER, recipients, envid=envid, ret=ret, eight_bit=not content.isascii()),
        sender_is_doubtful=doubtful,
    )


async def reports(delivery: Delivery, count: int = 1) -> list[bytes]:
    """Wait for so many DSNs in the sender's mailbox."""
    await delivery.until(lambda: len(delivery.files("sender.example/ann")) >= count)
    await delivery.until_settled()
    found = [file.read_bytes() for file in delivery.files("sender.example/ann")]
    assert len(found) == count
    return found


def groups(report: bytes) -> list[Message]:
    """Give the delivery-status: first what is about the message, then a group for each recipient."""
    status = list(message_from_bytes(report, policy=policy.default).iter_parts())[1].get_payload()  # type: ignore[attr-defined]
    assert isinstance(status, list)
    return [group for group in status if isinstance(group, Message)]


@pytest.fixture(autouse=True)
def sender(delivery: Delivery) -> None:
    delivery.records.add(f"mailbox {SENDER}")


async def test_a_delivery_to_a_mailbox_is_reported(delivery: Delivery) -> None:
    message = asking(Recipient(ANN, ("SUCCESS",), "rfc822;Ann@old.example"), ret="FULL", envid="QQ 3=1")
    await delivery.spool.publish(message)
    (report,) = await reports(delivery)
    about, ann = groups(report)
    assert about["Original-Envelope-Id"] == "QQ 3=1"
    assert ann["Original-Recipient"] == "rfc822; Ann@old.example"
    assert (ann["Final-Recipient"], ann["Action"], ann["Status"]) == (f"rfc822; {ANN}", "delivered", "2.0.0")
    assert "Diagnostic-Code" not in ann
    assert b"Subject: Delivered mail" in report
    assert b"at the beginning" not in report, "RET counts for failures alone"
    assert (Fact.REPORTED, SENDER) in delivery.facts(message.id)
    assert delivery.event(Fact.REPORTED).related == delivery.event(Fact.ACCEPTED).message_id


@pytest.mark.parametrize("extensions", [WITH_DSN, tuple(e for e in WITH_DSN if e != "PIPELINING")])
async def test_a_next_hop_with_dsn_gets_it_all_and_reports_itself(
    delivery: Delivery, extensions: tuple[str, ...]
) -> None:
    async with NextHop(extensions=extensions) as hop:
        route(delivery, hop)
        await delivery.spool.publish(
            asking(
                Recipient(BOB, EVERYTHING, "rfc822;Bob+x@other.example"),
                Recipient("eve@other.example", ("NEVER",), "utf-8;jörg=@old.example"),
                Recipient("carl@other.example"),
                ret="HDRS",
                envid="a=b c",
            )
        )
        await delivery.until_settled()
        assert hop.transactions[0].mail.endswith(" RET=HDRS ENVID=a+3Db+20c")
        assert [command for command in hop.commands if command.startswith("RCPT")] == [
            f"RCPT TO:<{BOB}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Bob+2Bx@other.example",
            "RCPT TO:<eve@other.example> NOTIFY=NEVER ORCPT=utf-8;j\\x{F6}rg\\x{3D}@old.example",
            "RCPT TO:<carl@other.example>",
        ]
    assert delivery.files("sender.example/ann") == []


async def test_where_a_next_hop_has_no_dsn_the_relay_is_reported(delivery: Delivery) -> None:
    async with NextHop() as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient(BOB, EVERYTHING), Recipient(ANN, EVERYTHING), envid="x"))
        (report,) = await reports(delivery)
        assert "NOTIFY" not in "".join(hop.commands)
        assert "ENVID" not in "".join(hop.commands)
    _, *both = groups(report)
    assert {(each["Final-Recipient"], each["Action"]) for each in both} == {
        (f"rfc822; {BOB}", "relayed"),
        (f"rfc822; {ANN}", "delivered"),
    }


async def test_an_alias_is_reported_as_expanded_and_its_targets_are_not(delivery: Delivery) -> None:
    """Nothing tells where it leads, and no next hop is asked to report a success from there."""
    delivery.records.add(f"alias team@dest.example {ANN} {BOB}")
    async with NextHop(extensions=WITH_DSN) as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient("team@dest.example", EVERYTHING)))
        (report,) = await reports(delivery)
        assert f"RCPT TO:<{BOB}> NOTIFY=FAILURE,DELAY" in hop.commands
    _, team = groups(report)
    assert (team["Final-Recipient"], team["Action"]) == ("rfc822; team@dest.example", "expanded")
    assert ANN.encode() not in report
    assert BOB.encode() not in report
    assert len(delivery.files()) == 1


async def test_behind_an_alias_success_alone_becomes_never(delivery: Delivery) -> None:
    delivery.records.add(f"alias team@dest.example {BOB}")
    async with NextHop(extensions=WITH_DSN) as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient("team@dest.example", ("SUCCESS",))))
        await reports(delivery)
        assert f"RCPT TO:<{BOB}> NOTIFY=NEVER" in hop.commands


async def test_success_after_a_deferral_is_reported_once(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": ["450 4.2.1 Busy", "250 2.1.5 Ok"]}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient(BOB, ("SUCCESS",))))
        await until_queued(delivery, BOB)
        await retry_now(delivery)
        (report,) = await reports(delivery)
    assert groups(report)[1]["Action"] == "relayed"


async def test_a_delay_is_told_once_when_the_message_is_old_enough(delivery: Delivery) -> None:
    await patient(delivery)
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient(BOB, ("DELAY",)), Recipient("eve@other.example", ("FAILURE",))))
        await until_queued(delivery, BOB, "eve@other.example")
        await _again(delivery, hop)
        assert delivery.files("sender.example/ann") == []
        await make_older(delivery, timedelta(hours=4, minutes=30))
        await _last_attempted(delivery, timedelta(hours=1))
        await _again(delivery, hop)
        (report,) = await reports(delivery)
        await _again(delivery, hop)
        assert await reports(delivery) == [report]
    _, bob = groups(report)
    assert (bob["Final-Recipient"], bob["Action"], bob["Status"]) == (f"rfc822; {BOB}", "delayed", "4.2.1")
    assert bob["Will-Retry-Until"]
    assert b"Subject: Delayed mail" in report


async def _again(delivery: Delivery, hop: NextHop) -> None:
    """Have what is queued tried once more, to the end."""
    tried = len(hop.transactions)
    await retry_now(delivery)
    await delivery.until(lambda: len(hop.transactions) > tried)
    await next_look(delivery)
    await next_look(delivery)


async def _last_attempted(delivery: Delivery, ago: timedelta) -> None:
    async with writing(delivery.engine) as connection:
        await connection.execute(update(QueuedDelivery).values(last_attempt_at=datetime.now(UTC) - ago))


@pytest.mark.parametrize(
    ("ret", "content", "is_whole"),
    [
        pytest.param("FULL", OCTETS, True, id="FULL"),
        pytest.param("FULL", "Subject: Hello\r\n\r\ngrüße: at the beginning\r\n".encode(), True, id="FULL of 8 bits"),
        pytest.param("HDRS", OCTETS, False, id="HDRS"),
        pytest.param("", OCTETS, False, id="not said"),
        pytest.param("FULL", OCTETS + b"x" * MAX_RETURNED_OCTETS, False, id="FULL of too much"),
        pytest.param("FULL", "Subject: grüße\r\n\r\nat the beginning\r\n".encode(), False, id="UTF-8 in the header"),
    ],
)
async def test_ret_says_how_much_of_a_failed_message_comes_back(
    delivery: Delivery, ret: str, content: bytes, is_whole: bool
) -> None:
    await delivery.spool.publish(asking(Recipient("gone@dest.example"), ret=ret, content=content))
    (report,) = await reports(delivery)
    assert (b"at the beginning" in report) is is_whole
    returned = list(message_from_bytes(report, policy=policy.default).iter_parts())[2]  # type: ignore[attr-defined]
    assert returned.get_content_type() == ("message/rfc822" if is_whole else "text/rfc822-headers")
    assert (b"Content-Transfer-Encoding: 8bit" in report) is (is_whole and not content.isascii())


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(asking(Recipient(ANN, ("FAILURE",))), id="success is not asked for"),
        pytest.param(asking(Recipient(ANN, EVERYTHING), doubtful=True), id="SPF says that the sender is another"),
        pytest.param(
            msgspec.structs.replace(asking(), envelope=Envelope("", (Recipient(ANN, EVERYTHING),))), id="null"
        ),
        pytest.param(
            msgspec.structs.replace(asking(Recipient(ANN, EVERYTHING)), direction=Direction.BOUNCE), id="a DSN"
        ),
    ],
)
async def test_nobody_is_told_of_a_success(delivery: Delivery, message: SpooledMessage) -> None:
    await delivery.spool.publish(message)
    await delivery.until_settled()
    assert [fact for fact, _ in delivery.facts()] == [Fact.DELIVERED]


async def test_a_failure_that_nobody_asked_for_is_not_told_though_success_was(delivery: Delivery) -> None:
    async with NextHop(replies={"RCPT": "450 4.2.1 Busy"}) as hop:
        route(delivery, hop)
        await delivery.spool.publish(asking(Recipient(BOB, ("SUCCESS",))))
        await until_queued(delivery, BOB)
        await expire(delivery)
        await until_queued(delivery)
    assert delivery.files("sender.example/ann") == []
    assert "asked not to be told" in delivery.event(Fact.FAILED).detail


async def test_a_dsn_asks_for_none(delivery: Delivery) -> None:
    """RFC 3461 §6.1."""
    async with NextHop(extensions=WITH_DSN) as hop:
        route(delivery, hop)
        await delivery.spool.publish(make_message("gone@dest.example", reverse_path=BOB))
        await delivery.until(lambda: bool(hop.taken))
        assert f"RCPT TO:<{BOB}> NOTIFY=NEVER" in hop.commands
    await delivery.until_settled()
