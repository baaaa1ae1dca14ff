"""`tripost demo` and its neighbours against a whole cluster."""

import json
from collections.abc import Iterator

import pytest

from cluster import Cluster
from servers import free_port


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def test_the_demo_may_be_run_again_and_shows_each_trace(cluster: Cluster) -> None:
    for _ in range(2):
        ended = cluster.cli("demo")
        assert ended.returncode == 0, ended.stdout
        assert "All as it should be." in ended.stdout
    assert ended.stdout.count("as it should be\n") == 3
    for text in ("delivered", "signature=GTUBE", "signature=Eicar-Test-Signature", "554 5.7.1"):
        assert text in ended.stdout


def test_the_demo_says_it_as_json_too(cluster: Cluster) -> None:
    outcomes = json.loads(cluster.cli("demo", "-o", "json").stdout)
    assert [outcome["as_expected"] for outcome in outcomes] == [True, True, True]
    assert [outcome["trace"]["status"] for outcome in outcomes] == ["delivered", "refused", "refused"]


def test_in_monitor_mode_the_test_patterns_arrive_and_their_traces_tell(cluster: Cluster) -> None:
    cluster.cli("policy", "mode", "monitor")
    ended = cluster.cli("demo")
    cluster.cli("policy", "mode", "enforce")
    assert ended.returncode == 0, ended.stdout
    assert "signature=GTUBE" in ended.stdout
    assert "nothing is refused" in ended.stderr


def test_the_demo_fails_when_no_mail_can_be_sent(cluster: Cluster) -> None:
    ended = cluster.cli("demo", "--submission", f"127.0.0.1:{free_port()}", check=False)
    assert ended.returncode == 5
    assert "No mail can be sent" in ended.stderr


def test_status_is_well(cluster: Cluster) -> None:
    ended = cluster.cli("status", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    status = json.loads(ended.stdout)
    assert {node["service"] for node in status["nodes"]} == {"edge", "filter", "domains", "admin-api"}
    assert status["problems"] == []
    assert status["published_revision"] == status["revision"]
