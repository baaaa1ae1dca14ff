"""The Kubernetes manifests render, and are what the API server accepts."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # the library has no types
import pytest
import yaml

from unit.deploy.deployments import ROOT

pytestmark = pytest.mark.needs("kubectl")

OLDEST, NEWEST = "1.25", "1.37"
SECRETS = (
    "nats-edge",
    "nats-filter",
    "nats-domains",
    "nats-admin-api",
    "nats-passwords.conf",
    "database-url",
    "database-key",
    "tls.crt",
    "tls.key",
)


def rendered(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=["base", "example"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    copy = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(ROOT / "deploy/k8s", copy)
    if request.param == "base":
        return rendered(copy / "base")
    secrets = copy / "overlays/example/secrets"
    secrets.mkdir(exist_ok=True)
    for name in SECRETS:
        (secrets / name).write_text("x")
    return rendered(copy / "overlays/example")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(objects: list[dict[str, Any]], version: str) -> None:
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_secrets_are_yours_and_the_example_makes_all_that_are_referred_to(objects: list[dict[str, Any]]) -> None:
    made = {one["metadata"]["name"] for one in objects if one["kind"] == "Secret"}
    used = {source["secret"]["name"] for volume in _projected(objects) for source in volume if "secret" in source}
    assert made in (set(), used)
    assert len(used) == 3
    assert all(name.startswith(("tripost-nats", "tripost-database", "tripost-tls")) for name in used)


def _projected(objects: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    pods = [one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {})]
    return [volume["projected"]["sources"] for pod in pods for volume in pod["volumes"] if "projected" in volume]
