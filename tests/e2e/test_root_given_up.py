"""Started as root: no service stays root, also where the unprivileged user cannot reach the code or the state."""

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import ROOT, SERVICES, Cluster
from dns_server import DnsServer
from smtp import send

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
BOB = "bob@local.example"
NOBODY = pwd.getpwnam("nobody").pw_uid
SOURCES = ("shared", "services", "deploy")


def user_ids(process: int) -> set[int]:
    """Give the real, effective, saved and file system's user id of a process and of all its threads."""
    found: set[int] = set()
    for status in Path(f"/proc/{process}/task").glob("*/status"):
        line = next(line for line in status.read_text().splitlines() if line.startswith("Uid:"))
        found |= set(map(int, line.split()[1:]))
    return found


def children(process: int) -> list[int]:
    """Give all processes below this one."""
    direct = [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*direct, *(grandchild for child in direct for grandchild in children(child))]


def assert_works_as_nobody(cluster: Cluster) -> None:
    assert cluster.process is not None
    services = children(cluster.process.pid)
    assert set(services) >= {cluster.pid(service) for service in SERVICES}
    for process in services:
        assert user_ids(process) == {NOBODY}
    owners = {path.lstat().st_uid for path in (cluster.home.resolve(), *cluster.home.resolve().rglob("*"))}
    assert owners == {NOBODY}
    cluster.add_domain("local.example")
    cluster.add_mailbox(BOB)
    assert send(cluster.smtp_port, BOB).startswith("250 ")
    cluster.wait_for_mail(BOB)


def test_no_service_runs_as_root(dns: DnsServer) -> None:
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address, "TRIPOST_EDGE_WORKERS": "2"}) as cluster:
        assert_works_as_nobody(cluster)
        assert "Note:" not in cluster.output
        assert "All state belongs to user nobody; for real mail" in cluster.output


def test_who_has_chosen_the_user_is_not_told_to_choose(dns: DnsServer) -> None:
    with Cluster({"TRIPOST_DNS_SERVERS": dns.address, "TRIPOST_RUN_USER": "nobody"}) as cluster:
        assert "All state belongs" not in cluster.output


def link_or_copy(source: str, target: str) -> None:
    """Copy a file in no time where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture
def private_clone() -> Iterator[Path]:
    """A checkout with its environment under a home of mode 0700, where `nobody` cannot come."""
    with tempfile.TemporaryDirectory(prefix="tripost-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        clone = folder / "home" / "tripost"
        clone.parent.mkdir(mode=0o700)
        for source in SOURCES:
            shutil.copytree(ROOT / source, clone / source, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(sys.prefix, clone / ".venv", symlinks=True, copy_function=link_or_copy)
        for file in (clone / ".venv").glob("lib/*/site-packages/*.pth"):
            text = file.read_text().replace(str(ROOT), str(clone))
            file.unlink()  # it may be a link to the original
            file.write_text(text)
        yield clone


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=["a private home", "a private home and umask"])
def test_it_works_from_a_clone_that_the_user_cannot_reach_and_says_so(
    private_clone: Path, dns: DnsServer, umask: int
) -> None:
    for source in SOURCES:
        for path in (private_clone / source, *(private_clone / source).rglob("*")):
            path.chmod(path.stat().st_mode & ~umask)
    scripts = private_clone / ".venv" / "bin"
    cluster = Cluster(
        {
            "TRIPOST_DNS_SERVERS": dns.address,
            "TRIPOST_HOME": "",
            "TRIPOST_CLUSTER_STATE_ROOT": str(private_clone.parent.parent / "state"),
        },
        program=[scripts / "python", scripts / "tripost-cluster"],
        cwd=private_clone,
    )
    cluster.home = private_clone / "var"
    with cluster:
        cluster.environment["TRIPOST_HOME"] = str(cluster.home)  # for the command line, which runs elsewhere
        assert_works_as_nobody(cluster)
        assert f"nobody, who cannot pass through {private_clone.parent}" in cluster.output
        assert f"chmod o+x {private_clone.parent}" in cluster.output
        assert cluster.home.is_symlink()
        assert cluster.stop() == 0
