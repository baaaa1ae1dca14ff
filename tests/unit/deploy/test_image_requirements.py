"""An image is built from the service's hash-locked file alone, so that file must hold all that its packages ask for."""

import re
import tomllib
from typing import Any

import pytest

from unit.deploy.deployments import ROOT, SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_the_lock_of_a_service_holds_every_dependency(service: str) -> None:
    locked = {_plain(name) for name in re.findall(r"^([\w.-]+)==", _read(f"requirements/{service}.txt"), re.MULTILINE)}
    assert _wanted(service) - locked == set()


@pytest.mark.parametrize("service", ["edge", "filter"])
def test_the_image_of_edge_and_filter_has_no_database_driver(service: str) -> None:
    assert not re.search(r"^(asyncpg|sqlalchemy|aiosqlite)==", _read(f"requirements/{service}.txt"), re.MULTILINE)


def _wanted(service: str) -> set[str]:
    own = _project(f"services/{service}")["dependencies"]
    shared = _project("shared")
    (shared_as_asked,) = [one for one in own if one.startswith("tripost-shared")]
    extras = re.findall(r"\[(.*)\]", shared_as_asked)
    optional = [one for extra in extras for one in shared["optional-dependencies"][extra]]
    named = [one for one in (*own, *shared["dependencies"], *optional) if not one.startswith("tripost-")]
    return {_plain(re.split(r"[\[<>=~! ]", one)[0]) for one in named}


def _project(folder: str) -> dict[str, Any]:
    return dict(tomllib.loads(_read(f"{folder}/pyproject.toml"))["project"])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _read(path: str) -> str:
    return (ROOT / path).read_text()


def test_every_builder_sees_the_folders_that_the_dockerfile_copies() -> None:
    """The classic builder does not look into a folder that only a pattern with a wildcard in its path lets in."""
    patterns = [line[1:] for line in _read(".dockerignore").splitlines() if line.startswith("!")]
    assert [pattern for pattern in patterns if "*" in pattern.rpartition("/")[0]] == []
    for folder in ("requirements", "shared", "services"):
        assert any(pattern.startswith(f"{folder}/") for pattern in patterns)
