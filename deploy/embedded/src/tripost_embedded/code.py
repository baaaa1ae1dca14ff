"""How the services' programs are started where their user may not be able to reach them.

A clone under a private home (mode 0700) is out of reach for the unprivileged user that root's services become. They are
started as root, so all they need is that their code stays in reach: see `launch`. A clone made with a closed umask is
not even readable; its few own source files are copied then, to a folder that belongs to root.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tripost_embedded import launch
from tripost_shared.privileges import RunUser, first_closed_folder
from tripost_shared.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Code:
    """`closed` is the folder that the run user cannot pass (None: it can read the code in place).

    `copies` are the source folders that were copied, and where to.
    """

    folder: Path
    closed: Path | None = None
    copies: tuple[tuple[str, str], ...] = ()

    def command(self, name: str) -> list[str]:
        """Give the command that runs the console script."""
        script = str(self.folder / name)
        if self.closed is None:
            return [script]
        return [sys.executable, "-P", launch.__file__, script, *(f"{source}={copy}" for source, copy in self.copies)]


def find_code(user: RunUser | None, state_root: Path) -> Code:
    """Tell how to start the programs beside this interpreter; raises SettingsError, saying how to mend it."""
    scripts = Path(sys.prefix) / "bin"
    if user is None:
        return Code(scripts)
    entries = [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    closed = next(filter(None, (first_closed_folder(entry / "any", user) for entry in entries)), None)
    if closed is None:
        return Code(scripts)
    unreadable = [entry for entry in entries if not _readable(entry, user)]
    if any(entry.is_relative_to(folder) for entry in unreadable for folder in (sys.prefix, sys.base_prefix)):
        raise SettingsError(
            f"user {user.name} cannot read {unreadable[0]}. Mend it by: rm -rf {sys.prefix} && make setup; "
            "or set TRIPOST_RUN_USER to a user who can"
        )
    return Code(scripts, closed, tuple((str(entry), str(_copy(entry, state_root))) for entry in unreadable))


def _readable(folder: Path, user: RunUser) -> bool:
    """Whether the user could read the folder if nothing above it were in the way; looks at it and its first level."""
    return all(user.may(os.R_OK | (os.X_OK if path.is_dir() else 0), path) for path in (folder, *folder.iterdir()))


def _copy(folder: Path, state_root: Path) -> Path:
    copies = state_root / "code"
    copies.mkdir(mode=0o755, parents=True, exist_ok=True)
    copy = copies / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy
