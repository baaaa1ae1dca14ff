"""scripts/setup does what has become necessary and no more; with a Python that only notes what it is asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("shared", "services/edge", "services/filter", "services/domains", "services/admin-api", "deploy/embedded")
# `python -m venv .venv` puts itself there.
PYTHON = """#!/bin/sh
case "$*" in
    --version) echo "Python 3" ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "made .venv" >>asked ;;
    "-m pip"*) echo "$*" >>asked ;;
esac
"""


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in PACKAGES:
            (folder / package).mkdir(parents=True)
            (folder / package / "pyproject.toml").write_text(f"of {package}\n")
        for name in ("scripts", "requirements"):
            (folder / name).mkdir()
        shutil.copy(ROOT / "scripts" / "setup", folder / "scripts" / "setup")
        for name in ("build.txt", "dev.txt"):
            (folder / "requirements" / name).write_text("locked==1\n")
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)

    def set_up(self) -> list[str]:
        """Run the script; gives what it asked Python for, in short."""
        asked = self.folder / "asked"
        asked.write_text("")
        environment = os.environ | {"TRIPOST_PYTHON": str(self.python)}
        subprocess.run(
            [self.folder / "scripts" / "setup"], env=environment, capture_output=True, check=True, timeout=30
        )
        return ["our packages" if "--editable=" in line else line for line in asked.read_text().splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that has been set up once."""
    checkout = Checkout(tmp_path / "checkout")
    first, *locked, last = checkout.set_up()
    assert (first, last) == ("made .venv", "our packages")
    assert all("--require-hashes" in line for line in locked)
    return checkout


def test_a_second_time_there_is_nothing_to_do(checkout: Checkout) -> None:
    assert checkout.set_up() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_ours_that_has_changed_is_put_in_again_and_nothing_else(checkout: Checkout, package: str) -> None:
    (checkout.folder / package / "pyproject.toml").write_text("with another dependency\n")
    assert checkout.set_up() == ["our packages"]
    assert checkout.set_up() == []


@pytest.mark.parametrize("name", ["build.txt", "dev.txt"])
def test_a_requirement_that_has_changed_makes_all_anew(checkout: Checkout, name: str) -> None:
    (checkout.folder / "requirements" / name).write_text("locked==2\n")
    assert checkout.set_up()[0] == "made .venv"
    assert checkout.set_up() == []


def test_so_does_a_checkout_that_has_moved(checkout: Checkout) -> None:
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.python = checkout.folder / "python"
    assert checkout.set_up()[0] == "made .venv"


def test_so_does_a_python_that_is_gone(checkout: Checkout) -> None:
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.set_up()[0] == "made .venv"
