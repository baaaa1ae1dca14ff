"""The folder of root's for what the run user cannot reach where it lies: the state, and copies of our code.

Services are started as root from the code in it, so nobody but root, not even the run user, may have written there.
"""

import os
from pathlib import Path
from typing import Final

from tripost_shared.ownership import OTHERS_WRITE, fault
from tripost_shared.settings import SettingsError

SETTING: Final = "TRIPOST_CLUSTER_STATE_ROOT"
CODE: Final = "code"


def open_state_root(folder: Path) -> None:
    """Find or make it, mode 0755. Raises SettingsError, saying how to mend it."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_others(folder, folder, folder.stat())
    except OSError as error:
        raise SettingsError(f"{SETTING}: {error.strerror}: {error.filename or folder}") from error


def open_code_folder(state_root: Path) -> Path:
    """Find or make the folder of copies, and look at each that is in it. Raises SettingsError as `open_state_root`."""
    open_state_root(state_root)
    folder = state_root / CODE
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            _refuse_others(state_root, path, path.lstat())
    except OSError as error:
        raise SettingsError(f"{SETTING}: {error.strerror}: {error.filename or folder}") from error
    return folder


def _refuse_others(state_root: Path, path: Path, status: os.stat_result) -> None:
    if said := fault(status, {os.geteuid()}, OTHERS_WRITE):
        raise SettingsError(
            f"{SETTING}: {path} {said}, and services are started as root from code in {state_root}. "
            f"Set {SETTING} to another folder; or, if you know who has put there what is in it: "
            f"rm -rf {state_root / CODE} && chown root: {state_root} && chmod go-w {state_root}"
        )
