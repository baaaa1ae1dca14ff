"""The requirement files lock exact versions by hash, and name no place that they come from."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").iterdir()), ids=lambda file: str(file.name))
def test_no_address_of_a_registry_is_in_a_requirement_file(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links)\b", text, re.MULTILINE)


@pytest.mark.parametrize("file", LOCKED, ids=lambda file: str(file.name))
def test_each_requirement_is_one_version_with_a_hash(file: Path) -> None:
    for requirement in re.split(r"\n(?=\S)", file.read_text().strip()):
        if not requirement.startswith("#"):
            assert re.match(r"[a-z0-9._\[\],-]+==\S+", requirement), requirement
            assert "--hash=sha256:" in requirement, requirement


def test_a_service_is_locked_to_the_versions_that_are_tested() -> None:
    tested = versions(ROOT / "requirements" / "dev.txt")
    for file in LOCKED:
        for name, version in versions(file).items():
            assert tested.get(name, version) == version, f"{file.name}: {name}"


def versions(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", file.read_text(), re.MULTILINE))
