"""docker-compose and Kubernetes start the same services in the same way."""

import re
from collections.abc import Mapping
from typing import Final

import pytest
from pydantic_settings import BaseSettings
from yaml import safe_load

from tripost_admin_api.settings import AdminSettings
from tripost_domains.settings import DomainsSettings
from tripost_edge.settings import EdgeSettings
from tripost_filter.settings import FilterSettings
from tripost_shared.bus.permissions import SERVICES as BUS_USERS
from tripost_shared.settings import CommonSettings, DatabaseSettings
from unit.deploy.deployments import (
    ROOT,
    SERVICES,
    Deployed,
    compose_file,
    dockerfile,
    in_compose,
    in_kubernetes,
    pod_template,
)

SETTINGS: Final[Mapping[str, tuple[type[BaseSettings], ...]]] = {
    "edge": (EdgeSettings,),
    "filter": (FilterSettings,),
    "domains": (DomainsSettings, DatabaseSettings),
    "admin-api": (AdminSettings, DatabaseSettings),
}
FOR_THE_COMMAND_LINE: Final = {"TRIPOST_API_URL"}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[in_compose, in_kubernetes], ids=["compose", "kubernetes"])
def deployed(request: pytest.FixtureRequest, service: str) -> Deployed:
    found: Deployed = request.param(service)
    return found


def test_a_service_gets_the_same_settings(service: str) -> None:
    assert in_compose(service).environment == in_kubernetes(service).environment


def test_a_service_listens_on_the_same_ports(service: str) -> None:
    assert in_compose(service).ports == in_kubernetes(service).ports


def test_a_service_gets_the_same_secrets_at_the_same_paths(service: str) -> None:
    assert in_compose(service).secret_files == in_kubernetes(service).secret_files


def test_a_service_finds_the_secrets_that_its_settings_name_and_no_others(deployed: Deployed) -> None:
    named = {value for value in deployed.environment.values() if value.startswith("/run/secrets/")}
    assert named == deployed.secret_files


def test_a_service_has_a_nats_user_of_its_own(service: str, deployed: Deployed) -> None:
    assert deployed.environment["TRIPOST_NATS_USER"] == service
    assert service in BUS_USERS


def test_every_setting_that_is_given_exists(service: str, deployed: Deployed) -> None:
    """A misspelt one would be ignored in silence."""
    kinds: tuple[type[BaseSettings], ...] = (CommonSettings, *SETTINGS[service])
    known = {f"{kind.model_config.get('env_prefix')}{name}".upper() for kind in kinds for name in kind.model_fields}
    assert deployed.environment.keys() - known - FOR_THE_COMMAND_LINE == set()


def test_every_listener_has_a_port(deployed: Deployed) -> None:
    listeners = {value for name, value in deployed.environment.items() if name.endswith("_LISTEN")}
    assert {int(listener.rpartition(":")[2]) for listener in listeners} == deployed.ports


@pytest.mark.parametrize("service", ["edge", "filter"], indirect=True)
def test_edge_and_filter_have_no_way_to_the_database(service: str, deployed: Deployed) -> None:
    assert "database" not in compose_file()["services"][service]["networks"]
    assert not any("DATABASE" in name for name in deployed.environment)


def test_both_migrate_with_the_image_and_the_database_of_admin_api() -> None:
    (job,) = pod_template("Job", "migrate")["containers"]
    in_compose_file = compose_file()["services"]["migrate"]
    assert job["image"] == in_compose_file["image"] == "tripost-admin-api"
    assert job["command"] == in_compose_file["command"] == ["tripost-migrate"]
    database = {"name": "TRIPOST_DATABASE_URL_FILE", "value": "/run/secrets/database-url"}
    assert database in job["env"]
    assert in_compose_file["environment"][database["name"]] == database["value"]


def test_nats_server_is_the_same_one() -> None:
    (container,) = pod_template("StatefulSet", "nats")["containers"]
    section = compose_file()["services"]["nats"]
    images = {
        one["name"]: one["newTag"]
        for one in safe_load((ROOT / "deploy/k8s/base/kustomization.yaml").read_text())["images"]
    }
    assert section["image"] == f"nats:{images['nats']}"
    assert section["command"] == container["command"]


def test_images_have_the_version_of_their_package(service: str) -> None:
    tags = {
        one["name"]: one["newTag"]
        for one in safe_load((ROOT / "deploy/k8s/base/kustomization.yaml").read_text())["images"]
    }
    project = (ROOT / "services" / service / "pyproject.toml").read_text()
    assert f'version = "{tags[f"tripost-{service}"]}"' in project


def test_an_image_is_built_of_its_service(service: str) -> None:
    section = compose_file()["services"][service]
    assert section["image"] == f"tripost-{service}"
    assert section["build"]["args"]["SERVICE"] == service
    assert (ROOT / section["build"]["dockerfile"]).read_text() == dockerfile()


def test_what_runs_in_a_container_is_the_script_of_its_service(service: str) -> None:
    text = dockerfile()
    (command,) = re.findall(r'^CMD \["(\S+)"\]$', text, re.MULTILINE)
    assert f"ln -s tripost-${{SERVICE}} /opt/tripost/bin/{command}" in text
    assert f"tripost-{service} = " in (ROOT / "services" / service / "pyproject.toml").read_text()
