"""Giving root up: a service that was started as root binds its ports, then becomes an unprivileged user."""

import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tripost_shared.capabilities import keeping_only
from tripost_shared.prctl import parent_death_signal, set_parent_death_signal
from tripost_shared.settings import SettingsError


@dataclass(frozen=True, slots=True)
class RunUser:
    """The unprivileged user that services become. It has no groups but its own."""

    name: str
    uid: int
    gid: int
    home: str

    @classmethod
    def named(cls, name: str) -> "RunUser":
        """Find the user. Raises SettingsError when there is none, or when it is root."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError as error:
            raise SettingsError(f"TRIPOST_RUN_USER: there is no user {name!r} on this machine") from error
        if entry.pw_uid == 0:
            raise SettingsError("TRIPOST_RUN_USER: root is what is to be given up; name another user")
        return cls(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)

    def may(self, wanted: int, path: Path) -> bool:
        """Whether the mode bits of `path` itself, not of the folders above it, allow all of `wanted` (os.R_OK | …)."""
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return (status.st_mode >> shift) & wanted == wanted

    def become(self) -> None:
        """Be this user for good. A wish to die with the parent outlasts it, which the kernel alone would forget.

        Where HOME is root's, libraries would look for their files (`~/.postgresql`) where this user may not.
        """
        dies_by = parent_death_signal()
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if os.environ.get("HOME") == pwd.getpwuid(0).pw_dir:
            os.environ["HOME"] = self.home
        if dies_by:
            die_with_parent(os.getppid(), dies_by)


def give_up_root(user: str, *, keeping: int | None = None) -> None:
    """Become `user` for good, of root's powers at most with the capability `keeping`; does nothing when not root.

    Raises SettingsError.
    """
    if os.geteuid() == 0:
        become = RunUser.named(user).become
        with nullcontext() if keeping is None else keeping_only(keeping):
            become()


def act_as(user: RunUser) -> None:
    """Do as `user` from now on, while root can be had back for starting services (the real user id stays root)."""
    os.setgroups([])
    os.setegid(user.gid)
    os.seteuid(user.uid)


@contextmanager
def acting_as(user: RunUser | None) -> Iterator[None]:
    """Do as `user` for a while, so that root never follows what that user has put in its folders; None: no change."""
    if user is None:
        yield
        return
    act_as(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def die_with_parent(parent: int, by: int = signal.SIGKILL) -> None:
    """Have the kernel end this process when its parent (process id `parent`) ends in whatever way (prctl(2)).

    To be called in the child. Exits at once when the parent is already gone. Linux only; elsewhere the child lives on.
    """
    set_parent_death_signal(by)
    if os.getppid() != parent:
        os._exit(1)


def first_closed_folder(path: Path, user: RunUser) -> Path | None:
    """Name the topmost folder on the way to `path` that the user cannot pass through; None when it can reach `path`."""
    return next((folder for folder in _folders_above(path) if not user.may(os.X_OK, folder)), None)


def _folders_above(path: Path) -> Iterator[Path]:
    yield from reversed(path.resolve().parents)
