"""The folder of a service's state, `$TRIPOST_HOME`."""

import os

from tripost_shared.privileges import RunUser
from tripost_shared.settings import CommonSettings, SettingsError


def make_home(settings: CommonSettings) -> None:
    """Make it with mode 0700 where it is missing; what root makes belongs to the user that the service becomes.

    A database in a folder that is missing could not be told from one that is away. Raises SettingsError.
    """
    home = settings.home.absolute()
    try:
        if home.is_dir():
            return
        user = RunUser.named(settings.run_user) if os.geteuid() == 0 else None
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if user is not None:
            os.chown(home, user.uid, user.gid, follow_symlinks=False)
    except OSError as error:
        raise SettingsError(f"TRIPOST_HOME: the folder {home} cannot be made: {error.strerror}") from error
