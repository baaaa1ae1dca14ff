"""What a client asks to be told, carried to the end (DSN): through edge, spool, queue, to the next hop, and back."""

import smtplib
from collections.abc import Iterator
from itertools import count

import pytest

from background import Background
from cluster import PASSWORD, Cluster, until
from next_hop import USUAL_EXTENSIONS, NextHop
from smtp import any_certificate, connect

_numbers = count(1)


@pytest.fixture
def login(cluster: Cluster) -> str:
    """A mailbox with a password, that no other test uses."""
    address = f"reports{next(_numbers)}@local.example"
    cluster.add_mailbox(address)
    return address


@pytest.fixture
def session(cluster: Cluster, login: str) -> Iterator[smtplib.SMTP]:
    with connect(cluster.submission_port) as client:
        client.starttls(context=any_certificate())
        client.ehlo()
        client.login(login, PASSWORD)
        yield client


def done(client: smtplib.SMTP, command: str) -> str:
    """Give the reply to a command that must be taken."""
    code, text = client.docmd(command)
    assert code == 250, (command, code, text)
    return text.decode()


def content(client: smtplib.SMTP, author: str) -> tuple[int, str]:
    """Send a message in two chunks; gives the reply to the last."""
    chunks = (f"From: {author}\r\nSubject: report me\r\n\r\n".encode(), b".\r\nbody\r\n")
    client.send(f"BDAT {len(chunks[0])}\r\n".encode() + chunks[0])
    assert client.getreply()[0] == 250
    client.send(f"BDAT {len(chunks[1])} LAST\r\n".encode() + chunks[1])
    code, text = client.getreply()
    return code, text.decode()


def test_what_the_sender_wants_to_be_told_goes_all_the_way(
    cluster: Cluster, login: str, session: smtplib.SMTP, background: Background
) -> None:
    with background.running(NextHop(extensions=(*USUAL_EXTENSIONS, "DSN"))) as hop:
        cluster.cli("route", "add", "reports.example", "--host", "127.0.0.1", "--port", str(hop.port))
        cluster.add_mailbox("near@local.example")
        cluster.cli("alias", "add", "team@local.example", "hidden@reports.example")
        done(session, f"MAIL FROM:<{login}> RET=HDRS ENVID=QQ+2B1")
        done(session, "RCPT TO:<bob@reports.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@old.example")
        done(session, "RCPT TO:<near@local.example> NOTIFY=SUCCESS")
        done(session, "RCPT TO:<team@local.example> NOTIFY=SUCCESS")
        code, text = content(session, login)
        assert code == 250, text
        until(lambda: len(hop.taken) == 1, "the next hop has the mail")
        commands = [command for command in hop.commands if command.startswith(("MAIL", "RCPT"))]
        assert commands[0].endswith(" RET=HDRS ENVID=QQ+2B1")
        assert sorted(commands[1:]) == [
            "RCPT TO:<bob@reports.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@old.example",
            "RCPT TO:<hidden@reports.example> NOTIFY=NEVER",
        ]
        assert hop.taken[0].content.endswith(b"\r\n\r\n.\r\nbody\r\n")
    report = cluster.wait_for_mail(login)
    assert b"Original-Envelope-Id: QQ+1" in report
    assert b"Final-Recipient: rfc822; near@local.example\nAction: delivered\n" in report
    assert b"Final-Recipient: rfc822; team@local.example\nAction: expanded\n" in report
    assert b"hidden@reports.example" not in report
    assert b"bob@reports.example" not in report, "the next hop tells of him"
    message_id = text.rpartition(" ")[2]
    facts = until(
        lambda: [f for f in cluster.cli_json("message", "trace", message_id)["events"] if f["fact"] == "reported"],
        "the trace tells of the report",
    )
    assert facts[0]["recipient"] == login


def test_authors_are_checked_until_the_administrator_allows_all(
    cluster: Cluster, login: str, session: smtplib.SMTP
) -> None:
    def written_as(author: str) -> int:
        done(session, f"MAIL FROM:<{login}>")
        done(session, f"RCPT TO:<{login}>")
        return content(session, author)[0]

    assert written_as(login) == 250
    assert written_as("boss@big.example") == 550
    cluster.cli("grant", "add", login, "boss@big.example")
    until(lambda: written_as("boss@big.example") == 250, "the grant is live")
    cluster.cli("author-check", "off")
    try:
        until(lambda: written_as("anybody@big.example") == 250, "the check is off")
    finally:
        cluster.cli("author-check", "on")
    until(lambda: written_as("anybody@big.example") == 550, "the check is on again")
