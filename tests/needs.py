"""`@pytest.mark.needs("swaks")`: a test that runs where a program of the system is installed, and is skipped elsewhere.

`needs("python: gssapi")` is about a module that is an optional extra.

With TRIPOST_TESTS_NEED_ALL set, as .ci/run does, it fails instead: there everything must have been tested.
"""

import os
import shutil
from importlib.util import find_spec
from typing import Final

import pytest

MODULE: Final = "python: "
SYSTEM_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin"


def program(name: str) -> str | None:
    """Give the path of a program; daemons are found too, whose folders are not on every user's PATH."""
    return shutil.which(name, path=SYSTEM_PATH)


def _is_there(name: str) -> bool:
    module = name.removeprefix(MODULE)
    return program(name) is not None if module == name else find_spec(module) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test, or fail it where nothing may be skipped."""
    missing = [name for mark in item.iter_markers("needs") for name in mark.args if not _is_there(name)]
    if not missing:
        return
    because = f"not installed: {', '.join(missing)}"
    if os.environ.get("TRIPOST_TESTS_NEED_ALL"):
        pytest.fail(because, pytrace=False)
    pytest.skip(because)
