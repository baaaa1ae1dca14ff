"""Control rules and rates in a whole cluster: from the command line to what becomes of the mail and what is told."""

import re
from collections.abc import Callable, Iterator

import pytest

from cluster import Cluster, until
from smtp import connect, send, transaction

CONTENT = b"Subject: x\r\n\r\nHello\r\n"


@pytest.fixture
def add(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """Add rules and rates, which are removed at the end."""
    added: list[tuple[str, str]] = []

    def add(kind: str, name: str, *words: str) -> None:
        cluster.change_edge(kind, "add", name, *words)
        added.insert(0, (kind, name))

    yield add
    for kind, name in added:
        cluster.cli(kind, "remove", name)


def test_held_mail_waits_for_an_operator_who_releases_it(cluster: Cluster, add: Callable[..., None]) -> None:
    """The rule holds in a session that was open before."""
    for mailbox in ("held@local.example", "free@local.example"):
        cluster.add_mailbox(mailbox)
    with connect(cluster.smtp_port) as client:
        add("rule", "wait", "hold", "--recipient", "held@local.example")
        reply = transaction(client, "ann@remote.example", ["free@local.example", "held@local.example"], CONTENT)
    identifier = reply.rpartition(" ")[2]
    assert b"Hello" in cluster.wait_for_mail("free@local.example")
    (delivery,) = until(lambda: cluster.cli_json("queue", "show", identifier)["deliveries"], "the mail is held")
    assert (delivery["recipient"], delivery["state"]) == ("held@local.example", "held")
    assert delivery["last_reply"] == "451 4.7.0 Held for the administrator by rule wait"
    assert cluster.mail("held@local.example") == []
    cluster.cli("queue", "release", identifier)
    assert b"Hello" in cluster.wait_for_mail("held@local.example")


def test_redirected_mail_goes_to_the_target_with_its_trace(cluster: Cluster, add: Callable[..., None]) -> None:
    cluster.add_mailbox("target@local.example")
    add("rule", "elsewhere", "redirect", "--recipient", "moved@local.example", "--to", "target@local.example")
    add(
        "rule",
        "mark",
        "add-header",
        "--recipient",
        "@local.example",
        "--header",
        "X-Class: moved",
        "--before",
        "elsewhere",
    )
    reply = send(cluster.smtp_port, "moved@local.example")
    message = cluster.wait_for_mail("target@local.example")
    assert b"\nX-Class: moved" in message.replace(b"\r\n", b"\n")
    shown = until(
        lambda: "delivered" in (text := cluster.cli("message", "trace", reply.rpartition(" ")[2]).stdout) and text,
        "trace",
    )
    assert "redirect: target@local.example" in shown
    assert "rule mark: add-header; rule elsewhere: redirect" in shown


def test_a_rate_is_warned_of_reached_and_shown(cluster: Cluster, add: Callable[..., None]) -> None:
    cluster.add_mailbox("counted@local.example")
    add("limit", "few", "--per", "client", "--messages", "1000/day", "--only-by-rule")
    cluster.change_edge("limit", "set", "few", "--for", "127.0.0.1", "--messages", "5/day")
    add("rule", "count", "limit", "--recipient", "counted@local.example", "--rate", "few")
    replies = [send(cluster.smtp_port, "counted@local.example") for _ in range(6)]
    assert [reply[:3] for reply in replies] == ["250"] * 5 + ["451"]
    assert re.match(
        r"451 4\.7\.1 Too many messages: 5 in a day for client 127\.0\.0\.1, try again later \(", replies[5]
    )
    shown = " ".join(cluster.cli("limit", "show", "client:127.0.0.1").stdout.split())
    assert "client:127.0.0.1 few 5 of 5 messages in a day 100% in " in shown
    fourth = replies[3].rpartition(" ")[2]
    trace = until(lambda: "warned" in (text := cluster.cli("message", "trace", fourth).stdout) and text, "the warning")
    assert "rate few: 4 messages of 5 in a day for client 127.0.0.1" in trace
