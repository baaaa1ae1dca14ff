"""The embedded cluster's own life: first and second start, trouble at start, stop, services away for a while."""

import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import SERVICES, Cluster, until
from dns_server import DnsServer
from smtp import send
from tripost_embedded.home import open_home

BOB = "bob@local.example"


@pytest.fixture
def fresh(dns: DnsServer) -> Iterator[Cluster]:
    """A cluster that is not started yet."""
    cluster = Cluster({"TRIPOST_DNS_SERVERS": dns.address})
    yield cluster
    cluster.close()


def is_gone(process: int) -> bool:
    """Ended, or a zombie that its new parent has not collected yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_first_start_tells_what_a_newcomer_needs(fresh: Cluster) -> None:
    fresh.start()
    for port in (fresh.smtp_port, fresh.submission_port, fresh.submissions_port, fresh.proxy_port, fresh.admin_port):
        assert f"127.0.0.1:{port} " in fresh.output
    assert re.search(r"one-time password +\S{16,}", fresh.output)
    token = Path(re.search(r"command line token +(\S+)", fresh.output)[1])  # type: ignore[index]  # a failure either way
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert fresh.output.count(".venv/bin/tripost ") == 3
    assert fresh.output.index("admin-api   service ready") < fresh.output.index("Tripost is ready")
    assert not (fresh.home / "run" / "first-password").exists()
    assert stat.S_IMODE(fresh.home.stat().st_mode) == 0o700


def test_a_second_start_finds_all_again_and_tells_no_password(own_cluster: Cluster) -> None:
    own_cluster.add_mailbox(BOB)
    send(own_cluster.smtp_port, BOB)
    own_cluster.wait_for_mail(BOB)
    assert own_cluster.stop() == 0
    took = own_cluster.start()
    assert took < 20  # 2 s on a quiet machine
    assert "password" not in own_cluster.output_of_this_start
    assert send(own_cluster.smtp_port, BOB).startswith("250 ")
    until(lambda: len(own_cluster.mail(BOB)) == 2, "both messages are there")


def test_a_port_in_use_is_named_with_its_setting_before_anything_starts(fresh: Cluster) -> None:
    with socket.create_server(("127.0.0.1", fresh.smtp_port)):
        fresh.launch()
        assert fresh.wait() == 2
    assert f"port {fresh.smtp_port} on 127.0.0.1 is in use" in fresh.output
    assert "TRIPOST_EDGE_MX_LISTEN" in fresh.output
    assert not list((fresh.home / "run").glob("*.pid"))


def test_state_that_the_disk_refuses_is_told_in_one_line(fresh: Cluster) -> None:
    (open_home(fresh.home, None, fresh.folder).path / "log" / "cluster.log").mkdir(parents=True)
    fresh.launch()
    assert fresh.wait() == 2
    _, *told = fresh.output.splitlines()  # the first is of these tests
    assert told == [f"tripost-cluster: TRIPOST_HOME: Is a directory: {fresh.home}/log/cluster.log"]


def test_a_misspelt_setting_is_told_before_anything_else(fresh: Cluster) -> None:
    """It may be the reason for what follows: here the port that it was to change."""
    fresh.environment["TRIPOST_EDGE_MX_LISTN"] = "127.0.0.1:0"
    with socket.create_server(("127.0.0.1", fresh.smtp_port)):
        fresh.launch()
        assert fresh.wait() == 2
    told = "there is no setting TRIPOST_EDGE_MX_LISTN, so it is ignored; did you mean TRIPOST_EDGE_MX_LISTEN?"
    assert fresh.output.index(told) < fresh.output.index("is in use")


def test_a_second_cluster_on_the_same_state_is_refused(own_cluster: Cluster) -> None:
    second = Cluster({"TRIPOST_HOME": str(own_cluster.home)})
    second.launch()
    assert second.wait() == 2
    assert f"a cluster runs on {own_cluster.home} already" in second.output
    second.close()


def test_a_setting_that_a_service_does_not_take_ends_the_cluster_with_its_words(fresh: Cluster) -> None:
    fresh.environment["TRIPOST_EDGE_WORKERS"] = "1000"
    fresh.launch()
    assert fresh.wait() == 2
    assert "TRIPOST_EDGE_WORKERS" in fresh.output


def test_a_setting_of_the_cluster_that_makes_no_sense_is_named(fresh: Cluster) -> None:
    fresh.environment["TRIPOST_CLUSTER_NATS_PORT"] = "80"
    fresh.launch()
    assert fresh.wait() == 2
    assert "TRIPOST_CLUSTER_NATS_PORT: accepted is 1024 or more" in fresh.output


def test_ctrl_c_stops_all_in_order_and_leaves_nothing_running(own_cluster: Cluster) -> None:
    processes = [own_cluster.pid(service) for service in SERVICES]
    assert own_cluster.stop() == 0
    assert all(map(is_gone, processes))
    ended = re.findall(r" (\S+) +service stopped", own_cluster.output_of_this_start)
    assert ended[0] == "edge"
    assert sorted(ended[1:]) == ["admin-api", "domains", "filter"]
    assert not list((own_cluster.home / "run").glob("*.pid"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_that_ask_to_end_do_the_same(fresh: Cluster, number: signal.Signals) -> None:
    fresh.start()
    assert fresh.process is not None
    fresh.process.send_signal(number)
    assert fresh.wait() == 0


def test_a_second_ctrl_c_kills(own_cluster: Cluster) -> None:
    processes = [own_cluster.pid(service) for service in SERVICES]
    os.kill(processes[0], signal.SIGSTOP)  # it cannot drain
    own_cluster.interrupt()
    until(lambda: "stopping; Ctrl-C again kills" in own_cluster.output, "it has begun to stop")
    own_cluster.interrupt()
    own_cluster.wait()
    assert "had not ended" not in own_cluster.output
    assert all(map(is_gone, processes))


def test_no_service_outlives_a_supervisor_that_is_killed(own_cluster: Cluster) -> None:
    processes = [own_cluster.pid(service) for service in SERVICES]
    assert own_cluster.process is not None
    own_cluster.process.kill()
    own_cluster.process.wait()
    until(lambda: all(map(is_gone, processes)), "all services are gone", 5.0)
    own_cluster.start()


def test_without_filter_clients_are_told_to_come_back_and_mail_flows_again_by_itself(own_cluster: Cluster) -> None:
    own_cluster.add_mailbox(BOB)
    os.kill(own_cluster.pid("filter"), signal.SIGSTOP)  # not restarted, as a process that has died would be
    assert send(own_cluster.smtp_port, BOB).startswith("451 ")
    os.kill(own_cluster.pid("filter"), signal.SIGCONT)
    until(lambda: send(own_cluster.smtp_port, BOB).startswith("250 "), "mail flows again")
    own_cluster.wait_for_mail(BOB)


def test_edge_with_several_workers_serves_again_while_a_former_worker_is_at_its_last_transaction(
    fresh: Cluster,
) -> None:
    fresh.environment["TRIPOST_EDGE_WORKERS"] = "2"
    fresh.start()
    fresh.add_domain("local.example")
    fresh.add_mailbox(BOB)
    with socket.create_connection(("127.0.0.1", fresh.smtp_port), timeout=10) as client, client.makefile("rb") as said:
        assert said.readline().startswith(b"220 ")
        client.sendall(b"HELO client.example\r\nMAIL FROM:<>\r\n")
        assert [said.readline()[:4] for _ in range(2)] == [b"250 ", b"250 "]
        fresh.wait_until_back("edge", fresh.kill("edge"))
        assert send(fresh.smtp_port, BOB).startswith("250 ")
        client.sendall(b"NOOP\r\n")
        assert said.readline().startswith(b"250 "), "its worker is gone, so this shows nothing"
    fresh.wait_for_mail(BOB)


def test_a_crash_of_nats_server_is_mended_by_a_new_one(own_cluster: Cluster) -> None:
    """SIGQUIT makes a program in Go end as it does when it panics: with exit code 2, which ours use otherwise."""
    own_cluster.add_mailbox(BOB)
    former = own_cluster.pid("nats-server")
    os.kill(former, signal.SIGQUIT)
    own_cluster.wait_until_back("nats-server", former)
    assert "nats-server ended (exit code 2)" in own_cluster.output_of_this_start
    until(lambda: send(own_cluster.smtp_port, BOB).startswith("250 "), "mail flows again")
    own_cluster.wait_for_mail(BOB)


def test_logs_are_json_lines_in_files_of_their_own(cluster: Cluster) -> None:
    for service in SERVICES:
        first = (cluster.home / "log" / f"{service}.log").read_text().splitlines()[0]
        assert first.startswith("{"), first
