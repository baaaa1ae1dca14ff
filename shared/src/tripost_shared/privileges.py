"""Giving root up: a service that was started as root binds its ports, then becomes an unprivileged user."""

import os
import pwd

from tripost_shared.settings import SettingsError


def give_up_root(user: str) -> None:
    """Become `user` for good, with no other groups; does nothing when not root. Raises SettingsError."""
    if os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise SettingsError(f"TRIPOST_RUN_USER: there is no user {user!r} on this machine") from error
    if entry.pw_uid == 0:
        raise SettingsError("TRIPOST_RUN_USER: root is what is to be given up; name another user")
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
