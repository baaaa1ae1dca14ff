"""Whoever looks after a process for signs of life lets it end in peace, and leaves a hung worker to edge itself."""

import pytest

from tripost_edge import worker_beats
from tripost_embedded import liveness
from tripost_embedded.plans import ALIVE
from tripost_shared.endings import KILL_AFTER
from unit.deploy.deployments import SERVICES, pod_template

NEW_WORKER_WITHIN_SECONDS = 5.0


@pytest.mark.parametrize("service", SERVICES)
def test_the_embedded_cluster_asks_as_kubernetes_does_and_is_no_more_patient(service: str) -> None:
    (container,) = pod_template("Deployment", service)["containers"]
    probe = container["livenessProbe"]
    assert probe["httpGet"]["path"] == ALIVE
    assert liveness.PATIENCE.every.total_seconds() >= probe["timeoutSeconds"]
    assert liveness.PATIENCE.whole.total_seconds() <= probe["periodSeconds"] * probe["failureThreshold"]


def test_a_service_that_ends_is_not_taken_for_one_that_hangs() -> None:
    """Also when it was not the supervisor who asked it to end."""
    assert liveness.PATIENCE.whole > KILL_AFTER


def test_edge_has_mended_a_hung_first_worker_before_it_is_ended_for_it() -> None:
    mended = worker_beats.PATIENCE.whole.total_seconds() + NEW_WORKER_WITHIN_SECONDS
    assert mended <= liveness.PATIENCE.whole.total_seconds()
