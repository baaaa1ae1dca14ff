"""How the services' programs are started where their user may not be able to reach them.

A clone under a private home (mode 0700) is out of reach for the unprivileged user that root's services become. They are
started as root, so all they need is that their code stays in reach afterwards. The installed packages do, through
descriptors (see `launch`). Our own few source files are copied to a folder of root's, since libraries follow a path to
where it really is when they look for files beside our code; and so a closed umask at the clone does not matter either.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tripost_embedded import launch
from tripost_embedded.state_root import open_code_folder
from tripost_shared.privileges import RunUser, first_closed_folder
from tripost_shared.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Code:
    """`folder` holds the programs. `closed` is the folder that the run user cannot pass; None: it reads all in place.

    `copies` are the source folders that were copied, and where to.
    """

    folder: Path
    closed: Path | None = None
    copies: tuple[tuple[Path, Path], ...] = ()

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
    installed = [entry for entry in entries if str(entry).startswith((sys.prefix, sys.base_prefix))]
    unreadable = next((entry for entry in installed if not _readable(entry, user)), None)
    if unreadable is not None:
        raise SettingsError(
            f"user {user.name} cannot read {unreadable}. Mend it by: rm -rf {sys.prefix} && make setup; "
            "or set TRIPOST_RUN_USER to a user who can"
        )
    copies = open_code_folder(state_root)
    own = [entry for entry in entries if entry not in installed]
    return Code(scripts, closed, tuple((entry, _copy(entry, copies)) for entry in own))


def _readable(folder: Path, user: RunUser) -> bool:
    """Whether the user could read the folder if nothing above it were in the way; looks at it and its first level."""
    return all(user.may(os.R_OK | (os.X_OK if path.is_dir() else 0), path) for path in (folder, *folder.iterdir()))


def _copy(source: Path, copies: Path) -> Path:
    """Copy a source folder for all to read, unless that has been done since it last changed; older copies go."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    name, state = (hashlib.sha256(repr(of).encode()).hexdigest()[:12] for of in (str(source), states))
    copy = copies / f"{name}-{state}"
    if copy.is_dir():
        return copy
    for older in copies.glob(f"{name}-*"):
        shutil.rmtree(older)
    unfinished = copies / f"new-{name}-{os.getpid()}"
    for path in files:
        target = unfinished / path.relative_to(source)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return unfinished.rename(copy)
