"""Mail from other servers: what is delivered, what is refused, and what can be told of it afterwards."""

import re
import subprocess
from itertools import count

import pytest

from cluster import HOSTNAME, Cluster, until
from needs import program
from smtp import connect, send, transaction

ACCEPTED = re.compile(r"250 2\.0\.0 Accepted as ([0-9a-z]+\.\d+)$")
_numbers = count(1)


@pytest.fixture
def mailbox(cluster: Cluster) -> str:
    """A mailbox that no other test uses."""
    address = f"in{next(_numbers)}@local.example"
    cluster.add_mailbox(address)
    return address


def accepted_as(reply: str) -> str:
    found = ACCEPTED.match(reply)
    assert found, reply
    return found[1]


def test_mail_is_in_the_maildir_within_a_second_with_its_trace(cluster: Cluster, mailbox: str) -> None:
    identifier = accepted_as(send(cluster.smtp_port, mailbox))
    message = cluster.wait_for_mail(mailbox, within=1.0)
    fields = message.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode()
    names = [line.partition(":")[0] for line in fields.splitlines() if not line[0].isspace()]
    assert names[0] == "Return-Path"
    assert names.index("Received") < names.index("Authentication-Results") < names.index("From")
    assert "Return-Path: <ann@remote.example>" in fields
    assert f"by {HOSTNAME}" in fields
    assert identifier in fields
    assert "(unknown [127.0.0.1])" in fields, "the DNS has no name for it"
    assert re.search(rf"^Authentication-Results: {HOSTNAME};", fields, re.MULTILINE)
    assert "iprev=permerror" in fields
    assert b"\n.\nA line with a dot before." in message.replace(b"\r\n", b"\n")


@pytest.mark.needs("swaks")
def test_the_mail_administrators_own_client_gets_a_250(cluster: Cluster, mailbox: str) -> None:
    swaks = str(program("swaks"))
    done = subprocess.run(
        [swaks, "--server", f"127.0.0.1:{cluster.smtp_port}", "--to", mailbox, "--from", "ann@remote.example"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "<-  250 2.0.0 Accepted as " in done.stdout
    cluster.wait_for_mail(mailbox, within=1.0)


def test_an_unknown_recipient_is_refused_for_good(cluster: Cluster) -> None:
    assert send(cluster.smtp_port, "nobody@local.example").startswith("550 5.1.1 ")


def test_nothing_is_relayed_for_strangers(cluster: Cluster) -> None:
    assert send(cluster.smtp_port, "bob@elsewhere.example").startswith("550 5.7.1 ")


def test_one_message_to_two_recipients_reaches_both(cluster: Cluster, mailbox: str) -> None:
    other = f"in{next(_numbers)}@local.example"
    cluster.add_mailbox(other)
    with connect(cluster.smtp_port) as client:
        accepted_as(transaction(client, "ann@remote.example", [mailbox, other], b"Subject: x\r\n\r\nHello\r\n"))
    assert b"Hello" in cluster.wait_for_mail(mailbox)
    assert b"Hello" in cluster.wait_for_mail(other)


def test_a_message_larger_than_what_travels_inline_arrives_whole(cluster: Cluster, mailbox: str) -> None:
    body = b"".join(b"%07d 0123456789012345678901234567890123456789\r\n" % line for line in range(60_000))
    with connect(cluster.smtp_port) as client:
        accepted_as(transaction(client, "ann@remote.example", [mailbox], b"Subject: large\r\n\r\n" + body))
    message = cluster.wait_for_mail(mailbox)
    assert message.replace(b"\r\n", b"\n").endswith(body.replace(b"\r\n", b"\n"))


def test_each_stage_can_be_traced_by_the_id_in_the_reply(cluster: Cluster, mailbox: str) -> None:
    identifier = accepted_as(send(cluster.smtp_port, mailbox))
    cluster.wait_for_mail(mailbox)
    shown = cluster.cli("message", "trace", identifier).stdout
    for told in (mailbox, "ann@remote.example", "spf", "dkim", "delivered"):
        assert told in shown.lower()


def test_a_refusal_can_be_traced_too(cluster: Cluster) -> None:
    reply = send(cluster.smtp_port, "nobody@local.example")
    identifier = re.search(r"\(([0-9a-z.]+)\)$", reply)
    assert identifier, reply
    assert "5.1.1" in cluster.cli("message", "trace", identifier[1]).stdout


def test_a_change_reaches_the_tiers_within_two_seconds(cluster: Cluster) -> None:
    address = f"in{next(_numbers)}@local.example"
    assert send(cluster.smtp_port, address).startswith("550 ")
    cluster.add_mailbox(address)
    until(lambda: send(cluster.smtp_port, address).startswith("250 "), "the new mailbox is known", within=2.0)
    cluster.wait_for_mail(address)


def test_the_demonstration_works(cluster: Cluster) -> None:
    assert cluster.cli("demo").returncode == 0
