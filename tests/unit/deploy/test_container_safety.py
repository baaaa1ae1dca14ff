"""What every container must not be able to do, and what keeps the Dockerfiles buildable anywhere."""

import re

import pytest
import yaml

from unit.deploy.deployments import ROOT, SERVICES, compose_file, dockerfile, manifests, pod_template

SECTIONS = compose_file()["services"]
RUN_ONCE = {"migrate", "nats-volume"}
WORKLOADS = [one for one in manifests() if one["kind"] in {"Deployment", "StatefulSet", "Job"}]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_compose_service_can_change_nothing_but_its_volumes(name: str) -> None:
    section = SECTIONS[name]
    assert section["read_only"] is True
    assert section["cap_drop"] == ["ALL"]
    assert section["security_opt"] == ["no-new-privileges:true"]
    assert section["ulimits"]["nofile"] <= 16384
    assert section["pids_limit"] <= 512
    assert section["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "privileged" not in section
    assert "container_name" not in section


def test_only_the_job_that_gives_the_volume_away_runs_as_root() -> None:
    """The services' images have a user of their own; the two others are given one."""
    as_root = {name for name in SECTIONS if name not in SERVICES and _user(name) in {"", "0:0"}}
    assert as_root == {"nats-volume"}
    assert SECTIONS["nats-volume"]["cap_add"] == ["CHOWN"]


@pytest.mark.parametrize("name", SECTIONS)
def test_ports_are_published_on_loopback_by_default(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SECTIONS[name].get("ports", ()))


def test_each_replica_of_edge_finds_a_port_in_each_range() -> None:
    """A range longer than the number of replicas would move a port at each start."""
    replicas = int(SECTIONS["edge"]["deploy"]["replicas"])
    for port in SECTIONS["edge"]["ports"]:
        first, _, last = port.split(":")[1].partition("-")
        assert int(last) - int(first) + 1 == replicas


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_is_restricted(workload: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
    pod = yaml.safe_load(yaml.safe_dump(workload["spec"]["template"]["spec"]))
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # variables such as TRIPOST_NATS_PORT_4222_TCP are no settings of ours
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()


def test_nats_server_tidies_up_before_it_is_killed_for_its_memory() -> None:
    (container,) = pod_template("StatefulSet", "nats")["containers"]
    (soft,) = [one["value"] for one in container["env"] if one["name"] == "GOMEMLIMIT"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert 0.8 * 1024 < int(soft.removesuffix("MiB")) < 0.95 * 1024


def test_the_dockerfile_builds_anywhere_and_runs_as_nobody_special() -> None:
    text = dockerfile()
    assert "# syntax" not in text
    assert set(re.findall(r"--from=(\S+)", text)) == {"build"}
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    for line in re.findall(r"pip (?:install|wheel)[^\n]*", text):
        assert "--require-hashes" in line or "--no-deps" in line


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - RUN_ONCE))
def test_what_runs_on_is_asked_for_its_health(name: str) -> None:
    check = SECTIONS[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()


def test_build_tools_are_the_ones_that_development_uses() -> None:
    build, dev = (_pins(name) for name in ("build", "dev"))
    assert {name for name in build if build[name] != dev.get(name, build[name])} == set()
    assert {"hatchling", "setuptools"} <= build.keys()


def _user(name: str) -> str:
    """The image's own user where compose names none: that of a service's image is 10001."""
    section = SECTIONS[name]
    return str(section.get("user", "10001" if str(section["image"]).startswith("tripost-") else ""))


def _pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
