"""The folder of the cluster's state, `$TRIPOST_HOME`: made, found again, given to the run user, held by one cluster.

Started as root, all of it belongs to the run user. Where that user cannot reach the folder (a clone under a private
home), the state lies under `state_root` instead, and `$TRIPOST_HOME` is a link to it.
"""

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tripost_shared.privileges import RunUser, first_closed_folder
from tripost_shared.settings import SettingsError

MARK: Final = ".tripost-state"  # in every folder that we made, so that no other is ever given away
FOLDERS: Final = ("secrets", "run", "log", "tls", "nats")


@dataclass(frozen=True, slots=True)
class Home:
    """The state's folder: `path` is where it really is, `asked` what the operator calls it."""

    path: Path
    asked: Path

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is under `state_root` because the run user could not reach it."""
        return self.path != self.asked.parent.resolve() / self.asked.name

    def pid_file(self, service: str) -> Path:
        """Where a service's process id is while it runs."""
        return self.path / "run" / f"{service}.pid"

    def log_file(self, service: str) -> Path:
        """Where a service's log is, one JSON object a line."""
        return self.path / "log" / f"{service}.log"

    def password_file(self, service: str) -> Path:
        """Where a service's NATS password is."""
        return self.path / "secrets" / f"nats-{service}"

    @property
    def first_password_file(self) -> Path:
        """Where admin-api leaves the administrator's one-time password, to be shown once."""
        return self.path / "run" / "first-password"


def open_home(asked: Path, user: RunUser | None, state_root: Path) -> Home:
    """Find or make the state's folder, mode 0700; `user` is the run user when started as root.

    Raises SettingsError, saying how to mend it.
    """
    asked = asked.absolute()
    try:
        path = asked.resolve() if user is None else _reachable(asked, user, state_root)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_ours(path, user)
    except (FileExistsError, NotADirectoryError) as error:
        in_the_way = next((place for place in (asked, *asked.parents) if place.exists() and not place.is_dir()), asked)
        raise SettingsError(f"TRIPOST_HOME: {in_the_way} is not a folder") from error
    except OSError as error:
        raise SettingsError(f"TRIPOST_HOME: {error.strerror}: {error.filename or asked}") from error
    return Home(path, asked)


def make_folders(home: Home) -> None:
    """Make what the folder holds; as the user who owns it."""
    for name in FOLDERS:
        (home.path / name).mkdir(mode=0o700, exist_ok=True)


def hold(home: Home) -> int:
    """Let no second cluster run on this state; gives the lock's descriptor. Raises SettingsError."""
    descriptor = os.open(home.path / "run" / "cluster.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode().strip() or "unknown"
        os.close(descriptor)
        raise SettingsError(
            f"TRIPOST_HOME: a cluster runs on {home.asked} already (process {holder}). "
            "Stop it, or set TRIPOST_HOME to another folder (and other ports) for a second one"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _reachable(asked: Path, user: RunUser, state_root: Path) -> Path:
    real = asked.resolve()
    closed = first_closed_folder(real, user)
    if closed is None:
        return real
    if asked.exists():
        if not asked.is_dir() or any(asked.iterdir()):
            raise SettingsError(
                f"TRIPOST_HOME: user {user.name} cannot reach {asked}, since {closed} is closed to others. "
                f"Mend it by one of: chmod o+x {closed}; TRIPOST_HOME=/some/open/folder; TRIPOST_RUN_USER=<its owner>"
            )
        asked.rmdir()
    state_root.mkdir(mode=0o755, parents=True, exist_ok=True)
    closed = first_closed_folder(state_root / "any", user)
    if closed is not None:
        raise SettingsError(f"TRIPOST_CLUSTER_STATE_ROOT: user {user.name} cannot pass through {closed}")
    elsewhere = state_root / f"{asked.name}-{hashlib.sha256(os.fsencode(asked)).hexdigest()[:8]}"
    asked.parent.mkdir(parents=True, exist_ok=True)
    asked.symlink_to(elsewhere)
    return elsewhere


def _make_ours(path: Path, user: RunUser | None) -> None:
    """Mark a new folder; as root, give it and all in it to the run user unless it is theirs."""
    mark = path / MARK
    if not mark.exists():
        if any(path.iterdir()) and user is not None:
            raise SettingsError(
                f"TRIPOST_HOME: {path} is neither empty nor a folder of ours, so it is not given to {user.name}"
            )
        mark.write_text("The state of a Tripost cluster (TRIPOST_HOME). Its mail and its accounts are in here.\n")
    path.chmod(0o700)
    if user is not None and (path.stat().st_uid != user.uid or mark.lstat().st_uid != user.uid):
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder, name), user.uid, user.gid, follow_symlinks=False)
        os.chown(path, user.uid, user.gid)
