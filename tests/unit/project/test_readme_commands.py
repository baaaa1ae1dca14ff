"""What README and CONTRIBUTING tell to type exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def commands(program: str) -> list[str]:
    """Find `program word …` where a page shows it as code, comments left out."""
    found = {
        line.split("#")[0].strip()
        for page in PAGES
        for code in re.findall(r"```\n(.*?)```|`([^`\n]+)`", page.read_text(), re.DOTALL)
        for line in "\n".join(code).splitlines()
        if line.startswith(program + " ")
    }
    return sorted(found)


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    assert command.split()[1] in TARGETS


def test_each_target_says_in_help_what_it_does() -> None:
    """Run as by hand, also when `make test` runs this: without that make's own flags."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} == TARGETS


def test_make_alone_shows_the_help() -> None:
    assert ".DEFAULT_GOAL := help" in MAKEFILE


@pytest.mark.parametrize("command", [*commands(".venv/bin/tripost"), *commands("tripost")])
def test_commands_of_the_command_line_exist(command: str) -> None:
    words = [word for word in command.split()[1:] if word.islower() and word.isalpha()]
    program = Path(sys.executable).parent / "tripost"
    subprocess.run([program, *words[:2], "--help"], capture_output=True, text=True, check=True, timeout=30)


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
