"""Names of folders and files in a Maildir (https://cr.yp.to/proto/maildir.html); pure."""

import re
from datetime import datetime
from pathlib import PurePath
from typing import Final

MAX_NAME_OCTETS: Final = 255  # of one path component, on all file systems that matter here

_DOMAIN: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_ENCODED: Final = re.compile(r"^\.|[\x00-\x1f\x7f/%\\]")


class UnsafeName(ValueError):
    """The address cannot name a folder."""


def mailbox_folder(domain: str, local_part: str) -> PurePath:
    """Give `<domain>/<local-part>`; what a path must not hold becomes `%2F` and the like, so no two share a folder.

    Raises UnsafeName.
    """
    if not _DOMAIN.fullmatch(domain) or len(domain) > MAX_NAME_OCTETS:
        raise UnsafeName(f"domain {domain!r}")
    folder = _ENCODED.sub(lambda match: f"%{ord(match[0]):02X}", local_part)
    try:
        too_long = len(folder.encode()) > MAX_NAME_OCTETS
    except UnicodeEncodeError as error:
        raise UnsafeName(f"local part {local_part!r}") from error
    if too_long or not folder:
        raise UnsafeName(f"local part {local_part!r}")
    return PurePath(domain, folder)


def stem(received_at: datetime, message_id: str) -> str:
    """Give what all names of a message begin with, whichever host delivers it and whatever a reader appends."""
    return f"{int(received_at.timestamp())}.{message_id}."


def file_name(received_at: datetime, message_id: str, hostname: str, size_octets: int | None) -> str:
    """Give the name of the file in `new/`: the same for the same message, with the file's size (`,S=`) for Dovecot.

    `size_octets` is None when it is known only once the file is written; a wrong one would be worse than none.
    """
    host = hostname.replace("/", "\\057").replace(":", "\\072")[:100]
    size = "" if size_octets is None else f",S={size_octets}"
    return f"{stem(received_at, message_id)}{host}{size}"
