"""Submission and relay: to a next hop that works, that is down for a while, that refuses."""

from collections.abc import Iterator
from email import message_from_bytes
from itertools import count

import pytest

from background import Background
from cluster import PASSWORD, Cluster, until
from next_hop import NextHop
from smtp import any_certificate, connect, submit

_numbers = count(1)


@pytest.fixture
def login(cluster: Cluster) -> str:
    """A mailbox with a password, that no other test uses."""
    address = f"out{next(_numbers)}@local.example"
    cluster.add_mailbox(address)
    return address


@pytest.fixture
def hop(background: Background) -> Iterator[NextHop]:
    with background.running(NextHop()) as hop:
        yield hop


def route_to(cluster: Cluster, hop: NextHop) -> str:
    """Make a route of a fresh domain to the next hop; gives an address there."""
    domain = f"dest{next(_numbers)}.example"
    cluster.cli("route", "add", domain, "--host", "127.0.0.1", "--port", str(hop.port))
    return f"bob@{domain}"


def test_submitted_mail_is_relayed(cluster: Cluster, login: str, hop: NextHop) -> None:
    recipient = route_to(cluster, hop)
    assert submit(cluster.submission_port, login, PASSWORD, recipient).startswith("250 ")
    transaction = until(lambda: hop.taken, "the next hop has the mail")[0]
    assert transaction.recipients == [recipient]
    assert login in transaction.mail
    assert b"Is anybody there?" in transaction.content


def test_submission_needs_tls_before_a_login(cluster: Cluster) -> None:
    with connect(cluster.submission_port) as client:
        assert "auth" not in client.esmtp_features
        client.starttls(context=any_certificate())
        client.ehlo()
        assert set(client.esmtp_features["auth"].split()) >= {"PLAIN", "LOGIN"}


def test_a_wrong_password_is_refused(cluster: Cluster, login: str) -> None:
    with connect(cluster.submission_port) as client:
        client.starttls(context=any_certificate())
        client.ehlo()
        code, text = client.docmd("AUTH PLAIN", "AGFubgB3cm9uZw==")
        assert (code, text.decode().split()[0]) == (535, "5.7.8")


def test_a_login_may_not_send_as_somebody_else(cluster: Cluster, login: str) -> None:
    with connect(cluster.submission_port) as client:
        client.starttls(context=any_certificate())
        client.ehlo()
        client.login(login, PASSWORD)
        code, _ = client.mail("somebody.else@local.example")
        assert code in {550, 553}


def test_mail_for_a_next_hop_that_is_down_waits_and_goes_when_it_is_back(
    cluster: Cluster, login: str, background: Background
) -> None:
    hop = NextHop()
    with background.running(hop):
        recipient = route_to(cluster, hop)
    assert submit(cluster.submission_port, login, PASSWORD, recipient).startswith("250 ")
    queued = until(lambda: queued_for(cluster, recipient), "the mail is in the queue")
    assert queued[0]["reverse_path"] == login
    assert queued[0]["deliveries"][0]["state"] in {"deferred", "attempting"}
    with background.running(hop):
        until(lambda: hop.taken, "the next hop has the mail")
        until(lambda: not queued_for(cluster, recipient), "the queue is empty")
    assert len(hop.taken) == 1


def queued_for(cluster: Cluster, recipient: str) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = cluster.cli_json("queue", "list", "--recipient", recipient)
    return listed


def test_a_refusal_by_the_next_hop_is_told_to_the_sender_once(
    cluster: Cluster, login: str, background: Background
) -> None:
    with background.running(NextHop(replies={"RCPT": "550 5.1.1 No such user here"})) as hop:
        recipient = route_to(cluster, hop)
        assert submit(cluster.submission_port, login, PASSWORD, recipient).startswith("250 ")
        bounce = message_from_bytes(cluster.wait_for_mail(login))
        until(lambda: not queued_for(cluster, recipient), "the queue is empty")
    assert bounce["Return-Path"] == "<>"
    assert bounce.get_content_type() == "multipart/report"
    assert bounce.get_param("report-type") == "delivery-status"
    told = bounce.as_string()
    assert "Status: 5.1.1" in told
    assert recipient in told
    assert len(cluster.mail(login)) == 1
