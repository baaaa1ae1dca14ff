"""Continuous integration skips nothing."""

import ast
import os
import re
from pathlib import Path

from needs import MODULE

ROOT = Path(__file__).resolve().parents[3]
CI = ROOT / ".ci" / "run"


def needed_programs() -> set[str]:
    """All names in `pytest.mark.needs(...)`."""
    return {
        argument.value
        for file in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "needs"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def test_it_installs_every_program_that_a_test_needs() -> None:
    installed = set(re.findall(r"\[([a-z0-9.-]+)\]=", CI.read_text()))
    needed = needed_programs()
    assert {name for name in needed if not name.startswith(MODULE)} <= installed


def test_it_installs_the_optional_extra_that_tests_need() -> None:
    assert {name for name in needed_programs() if name.startswith(MODULE)} == {f"{MODULE}gssapi"}
    assert "make kerberos\n" in CI.read_text()
    assert "requirements/gssapi.txt" in (ROOT / "Makefile").read_text()


def test_it_runs_the_checks_and_the_readmes_test_command() -> None:
    lines = CI.read_text().splitlines()
    assert os.access(CI, os.X_OK)
    assert lines[-2:] == ["make check", "make test"]
    assert "make test" in (ROOT / "README.md").read_text()
