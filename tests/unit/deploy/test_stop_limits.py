"""Nobody kills a service that still drains: each deployment waits longer than the runner lets a service take."""

import re
from pathlib import Path
from typing import Any

import pytest

from tripost_embedded.code import Code
from tripost_embedded.home import Home, make_folders
from tripost_embedded.plans import Cluster, make_plans
from tripost_embedded.supervisor import ServicePlan
from tripost_shared.endings import DRAIN_WITHIN, KILL_AFTER, STOP_WITHIN
from unit.deploy.deployments import SERVICES, compose_file, pod_template


def test_the_limit_leaves_a_margin_beyond_drain_and_stop() -> None:
    assert KILL_AFTER > DRAIN_WITHIN + STOP_WITHIN


@pytest.mark.parametrize("service", SERVICES)
def test_docker_compose_waits_long_enough(service: str) -> None:
    assert _seconds(compose_file()["services"][service]["stop_grace_period"]) >= KILL_AFTER.total_seconds()


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_waits_long_enough_the_hook_before_the_signal_included(service: str) -> None:
    pod = pod_template("Deployment", service)
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= KILL_AFTER.total_seconds() + _hook_seconds(container)


def test_the_embedded_cluster_waits_long_enough(plans: list[ServicePlan]) -> None:
    assert {plan.name for plan in plans} == {*SERVICES, "nats-server"}
    assert all(plan.kill_after >= KILL_AFTER for plan in plans if plan.name in SERVICES)


def test_mail_is_taken_no_more_before_those_that_it_needs_end_and_nats_server_ends_last(
    plans: list[ServicePlan],
) -> None:
    turn = {plan.name: plan.stop_turn for plan in plans}
    others = {turn[name] for name in SERVICES if name != "edge"}
    assert turn["edge"] < min(others) <= max(others) < turn["nats-server"]


@pytest.fixture
def plans(tmp_path: Path) -> list[ServicePlan]:
    home = Home(tmp_path, tmp_path)
    make_folders(home)
    return make_plans(Cluster(home, Code(tmp_path), None, 4222, None, hostname="mx.example", operators={}))


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return int(found[1])


def _hook_seconds(container: dict[str, Any]) -> int:
    hook = container.get("lifecycle", {}).get("preStop")
    if hook is None:
        return 0
    program, seconds = hook["exec"]["command"]
    assert program == "sleep"
    return int(seconds)
