"""Files put in place as a whole: a reader finds the former one or the new one, also after a crash."""

import os
import secrets
from pathlib import Path


def put_in_place(path: Path, octets: bytes, *, mode: int) -> None:
    """Write a file whose mode is set before it has content. Raises OSError; then the former file is still there.

    Folders that are missing are made with mode 0700. What root makes belongs to the owner of the folder around it.
    """
    _make_folder(path.parent)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner_of(path.parent, fresh)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_private(path: Path, text: str) -> None:
    """Put a text in place for its owner's eyes only (mode 0600). Raises OSError."""
    put_in_place(path, text.encode(), mode=0o600)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _give_to_owner_of(folder.parent, folder)


def _give_to_owner_of(folder: Path, made: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
