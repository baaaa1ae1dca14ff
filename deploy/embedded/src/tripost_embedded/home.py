"""The folder of the cluster's state, `$TRIPOST_HOME`: made, found again, given to the run user, held by one cluster.

Started as root, all of it belongs to the run user. Where that user cannot reach the folder (a clone under a private
home), the state lies under `state_root` instead, and `$TRIPOST_HOME` is a link to it. A folder that is there already is
taken only if nobody else can have put anything into it: whoever has, knows the passwords or has chosen them.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tripost_embedded.state_root import SETTING as STATE_ROOT
from tripost_embedded.state_root import open_state_root
from tripost_shared.ownership import OTHERS_WRITE, fault, user_name
from tripost_shared.privileges import RunUser, first_closed_folder
from tripost_shared.settings import SettingsError

MARK: Final = ".tripost-state"  # in every folder that we made, so that no other is ever given away
FOLDERS: Final = ("secrets", "run", "log", "tls", "nats", "cli")


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
    def database_key_file(self) -> Path:
        """Where the key of the database's login secrets is."""
        return self.path / "secrets" / "database-key"

    @property
    def first_password_file(self) -> Path:
        """Where admin-api leaves the administrator's one-time password, to be shown once."""
        return self.path / "run" / "first-password"


def open_home(asked: Path, user: RunUser | None, state_root: Path) -> Home:
    """Find or make the state's folder, mode 0700; `user` is the run user when started as root.

    Raises SettingsError, saying how to mend it.
    """
    asked = asked.absolute()
    with explained(asked):
        path = asked.resolve() if user is None else _reachable(asked, user, state_root)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_ours(path, user)
    return Home(path, asked)


def make_folders(home: Home) -> None:
    """Make what the folder holds, mode 0700; as the user who owns it. Raises SettingsError."""
    with explained(home.asked):
        for name in FOLDERS:
            folder = home.path / name
            folder.mkdir(mode=0o700, exist_ok=True)
            if said := fault(folder.stat(), {os.geteuid()}, 0):
                raise SettingsError(f"TRIPOST_HOME: {folder} {said}. {_to_mend(home.path, user_name(os.geteuid()))}")
            folder.chmod(0o700)


@contextlib.contextmanager
def explained(asked: Path) -> Iterator[None]:
    """Turn what the disk refuses under the state's folder into a SettingsError that names the place."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        place = Path(error.filename or asked)
        in_the_way = next((at for at in (place, *place.parents) if at.exists() and not at.is_dir()), asked)
        raise SettingsError(f"TRIPOST_HOME: {in_the_way} is not a folder") from error
    except OSError as error:
        raise SettingsError(f"TRIPOST_HOME: {error.strerror}: {error.filename or asked}") from error


def hold(home: Home) -> int:
    """Let no second cluster run on this state; gives the lock's descriptor. Raises SettingsError."""
    with explained(home.asked):
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
    open_state_root(state_root)
    closed = first_closed_folder(state_root / "any", user)
    if closed is not None:
        raise SettingsError(f"{STATE_ROOT}: user {user.name} cannot pass through {closed}")
    elsewhere = state_root / f"{asked.name}-{hashlib.sha256(os.fsencode(asked)).hexdigest()[:8]}"
    asked.parent.mkdir(parents=True, exist_ok=True)
    asked.symlink_to(elsewhere)
    return elsewhere


def _make_ours(path: Path, user: RunUser | None) -> None:
    """Mark a new folder; as root, give it and all in it to the run user unless it is theirs."""
    mark = path / MARK
    _refuse_others(path, user, is_marked=os.path.lexists(mark))
    if not mark.exists():
        if any(path.iterdir()) and user is not None:
            raise SettingsError(
                f"TRIPOST_HOME: {path} is neither empty nor a folder of ours, so it is not given to {user.name}"
            )
        with mark.open("x") as file:
            file.write("The state of a Tripost cluster (TRIPOST_HOME). Its mail and its accounts are in here.\n")
    path.chmod(0o700)
    if user is not None and (path.stat().st_uid != user.uid or mark.lstat().st_uid != user.uid):
        _give(path, user)


def _refuse_others(path: Path, user: RunUser | None, *, is_marked: bool) -> None:
    """Refuse a folder of another user, or one into which others may write what we would find and believe.

    One's own without our mark may be writable by others: it has nothing of ours yet, and is closed now.
    """
    owners = _owners(user)
    said = fault(path.stat(), owners, OTHERS_WRITE if is_marked or user is not None else 0)
    name = path
    if not said and is_marked:
        name = path / MARK
        status = name.lstat()
        said = fault(status, owners, OTHERS_WRITE) if stat.S_ISREG(status.st_mode) else "is no plain file"
    if said:
        trusted = user_name(os.geteuid()) if user is None else user.name
        raise SettingsError(f"TRIPOST_HOME: {name} {said}, so {path} is not taken over. {_to_mend(path, trusted)}")


def _owners(user: RunUser | None) -> set[int]:
    """Name whose state we go on with: our own; as root, the run user's too."""
    return {os.geteuid()} if user is None else {os.geteuid(), user.uid}


def _to_mend(path: Path, user: str) -> str:
    return (
        "Set TRIPOST_HOME to another folder; or, if you know who has written all that is in it: "
        f"chown -R {user}: {path} && chmod -R go-w {path}"
    )


def _give(path: Path, user: RunUser) -> None:
    """Give the folder and all in it to the run user, who can come to none of it before all of it is his.

    The innermost goes first, and never by a whole path, so that nobody can put a link to another file on the way.
    """
    for folder, folders, files, descriptor in os.fwalk(path, topdown=False):
        for name in (*folders, *files):
            if said := fault(os.stat(name, dir_fd=descriptor, follow_symlinks=False), _owners(user), 0):
                raise SettingsError(f"TRIPOST_HOME: {Path(folder, name)} {said}. {_to_mend(path, user.name)}")
            os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(path, user.uid, user.gid)
