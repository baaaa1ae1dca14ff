"""The folder of root's for what the run user cannot reach where it lies: the state, and copies of our code.

Services are started as root from the code in it, so nobody but root, not even the run user, may have written there, or
be able to put another folder in its place: by renaming one that it lies in, or a link on the way to it.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tripost_shared.ownership import OTHERS_WRITE, fault
from tripost_shared.settings import SettingsError

SETTING: Final = "TRIPOST_CLUSTER_STATE_ROOT"
CODE: Final = "code"


def open_state_root(folder: Path) -> None:
    """Find or make it, mode 0755. Raises SettingsError, saying how to mend it."""
    try:
        _refuse_a_way_of_others(folder)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_a_way_of_others(folder)  # now with what was missing
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


def _refuse_a_way_of_others(folder: Path) -> None:
    """Refuse a way to the folder on which somebody else could put another thing in the place of a step.

    Of a folder with the sticky bit (`/tmp`) only its owner and that of a step in it can rename that step.
    """
    real = Path(os.path.realpath(folder))
    for step in _steps(folder.absolute()):
        if step == real:
            continue  # `_refuse_others` is stricter
        status = step.lstat()
        is_closed = stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX
        if said := fault(status, {os.geteuid()}, 0 if is_closed else OTHERS_WRITE):
            raise SettingsError(
                f"{SETTING}: {step} {said}: another folder could be put in the place of {folder}, and services are "
                f"started as root from code in it. Set {SETTING} to a folder that lies in folders of root's alone"
            )


def _steps(way: Path) -> Iterator[Path]:
    """Give all that is passed on the way, its end included, as far as it is there; of a link, also the way it leads."""
    ways, passed = [way], set()
    while ways:
        way = ways.pop()
        for step in (way, *way.parents):
            if step in passed or not os.path.lexists(step):
                continue
            passed.add(step)
            yield step
            if step.is_symlink():
                ways.append(step.parent / step.readlink())


def _refuse_others(state_root: Path, path: Path, status: os.stat_result) -> None:
    if said := fault(status, {os.geteuid()}, OTHERS_WRITE):
        raise SettingsError(
            f"{SETTING}: {path} {said}, and services are started as root from code in {state_root}. "
            f"Set {SETTING} to another folder; or, if you know who has put there what is in it: "
            f"rm -rf {state_root / CODE} && chown root: {state_root} && chmod go-w {state_root}"
        )
