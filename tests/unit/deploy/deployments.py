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
    """What docker-compose gives a service."""
    section = compose_file()["services"][service]
    image = _Image(service)
    targets = [secret if isinstance(secret, str) else secret["target"] for secret in section["secrets"]]
    return Deployed(
        image.environment | {key: str(value or "") for key, value in section["environment"].items()},
        image.ports,
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
        _Image(service).environment | shared | own,
        frozenset(port["containerPort"] for port in container["ports"]),
        frozenset(f"/run/secrets/{item['path']}" for item in items),
    )


class _Image:
    """What a Dockerfile says about settings and ports."""

    def __init__(self, service: str) -> None:
        text = dockerfile(service).replace("\\\n", " ")
        pairs = re.findall(r"(TRIPOST_\w+)=(\S+)", text)
        self.environment = dict(pairs)
        self.ports = frozenset(
            int(port) for line in re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE) for port in line.split()
        )


def dockerfile(service: str) -> str:
    """Read a service's Dockerfile."""
    return (ROOT / "services" / service / "Dockerfile").read_text()
