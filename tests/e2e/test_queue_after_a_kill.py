"""Queued mail that was being attempted when domains was killed."""

from background import Background
from cluster import PASSWORD, Cluster, until
from next_hop import NextHop
from smtp import submit

SENDER, RECIPIENT = "ann@local.example", "bob@dest.example"
BEFORE_ITS_CLAIM_RUNS_OUT = 45.0  # a lease is 60 s, and others wait for one more


def states(cluster: Cluster) -> list[str]:
    listed = cluster.cli_json("queue", "list", "--recipient", RECIPIENT)
    return [delivery["state"] for message in listed for delivery in message["deliveries"]]


def test_it_is_attempted_again_as_soon_as_domains_is_back(own_cluster: Cluster, background: Background) -> None:
    own_cluster.add_mailbox(SENDER)
    with background.running(NextHop(replies={"RCPT": "450 4.2.1 Busy"})) as hop:
        own_cluster.cli("route", "add", "dest.example", "--host", "127.0.0.1", "--port", str(hop.port))
        assert submit(own_cluster.submission_port, SENDER, PASSWORD, RECIPIENT).startswith("250 ")
        until(lambda: states(own_cluster) == ["deferred"], "the mail is in the queue")
        hop.silent_at.add("RCPT")
        own_cluster.cli("queue", "retry", "--all")
        until(lambda: states(own_cluster) == ["attempting"], "the next hop keeps domains waiting")
        own_cluster.wait_until_back("domains", own_cluster.kill("domains"))
        hop.silent_at.clear()
        del hop.replies["RCPT"]
        until(lambda: hop.taken, "the next hop has the mail", within=BEFORE_ITS_CLAIM_RUNS_OUT)
        until(lambda: states(own_cluster) == [], "the queue is empty")
    assert len(hop.taken) == 1
