"""Both deployments as data: what each service gets in docker-compose and in Kubernetes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
K8S_BASE = ROOT / "deploy/k8s/base"
SERVICES = ("edge", "filter", "domains", "admin-api")


@dataclass(frozen=True)
class Deployed:
    """One service as a deployment starts it: settings (the image's own included), ports, files with secrets."""

    environment: Mapping[str, str]
    ports: frozenset[int]
    secret_files: frozenset[str]


def compose_file() -> dict[str, Any]:
    """Read docker-compose.yml, variables replaced by their defaults."""
    text = (ROOT / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{\w+:\?[^}]*}", "mail.example", text)
    return dict(yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)}", r"\1", text)))


def manifests() -> Iterator[dict[str, Any]]:
    """Read all manifests of the base, as they are written."""
    for path in sorted(K8S_BASE.glob("*.yaml")):
        yield from (document for document in yaml.safe_load_all(path.read_text()) if document)


def pod_template(kind: str, name: str) -> dict[str, Any]:
    """Give the pod's spec of a Deployment, StatefulSet or Job."""
    found = next(one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name)
    return dict(found["spec"]["template"]["spec"])


def in_compose(service: str) -> Deployed:
    """What docker-compose gives a service; its ports are those that are published, and that of its health check."""
    section = compose_file()["services"][service]
    targets = [secret if isinstance(secret, str) else secret["target"] for secret in section["secrets"]]
    published = {int(port.rpartition(":")[2]) for port in section.get("ports", ())}
    asked = {int(port) for port in re.findall(r"https?://127\.0\.0\.1:(\d+)/", section["healthcheck"]["test"][-1])}
    return Deployed(
        image_environment() | {key: str(value or "") for key, value in section["environment"].items()},
        frozenset(published | asked),
        frozenset(f"/run/secrets/{target}" for target in targets),
    )


def in_kubernetes(service: str) -> Deployed:
    """What Kubernetes gives a service."""
    pod = pod_template("Deployment", service)
    (container,) = pod["containers"]
    shared = next(one for one in manifests() if one["kind"] == "ConfigMap")["data"]
    own = {item["name"]: item["value"] for item in container["env"]}
    volume = next(one for one in pod["volumes"] if one["name"] == "secrets")
    items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
    return Deployed(
        image_environment() | shared | own,
        frozenset(port["containerPort"] for port in container["ports"]),
        frozenset(f"/run/secrets/{item['path']}" for item in items),
    )


def image_environment() -> dict[str, str]:
    """What the image itself says about settings."""
    return dict(re.findall(r"(TRIPOST_\w+)=(\S+)", dockerfile().replace("\\\n", " ")))


def dockerfile() -> str:
    """Read the Dockerfile of the services."""
    return (ROOT / "deploy" / "Dockerfile").read_text()
