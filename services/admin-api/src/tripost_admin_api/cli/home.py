"""Where the command line finds the cluster: its address, its certificate, the token."""

import json
import os
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import note
from tripost_shared.ownership import OTHERS_WRITE, fault

DEFAULT_URL = "https://127.0.0.1:8443"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


@dataclass(frozen=True, slots=True)
class Place:
    """What a client needs. `ca` None: what the system trusts."""

    url: str
    ca: Path | None
    token_file: Path
    home: Path
    is_token_made_for_us: bool  # it is where admin-api leaves the command line's, and leaves another when it starts


def find(environment: Mapping[str, str], url: str = "", token_file: str = "") -> Place:
    """Find the cluster: by what is given, the environment, or what it has written under `$TRIPOST_HOME/cli`.

    Raises CommandFailed when that is no address.
    """
    home = find_home(environment)
    written = _written(home / "cli" / "config")
    listen = environment.get("TRIPOST_ADMIN_LISTEN", "")
    own_ca = environment.get("TRIPOST_API_CA")
    pinned = home / "tls" / "admin.crt"
    ca: Path | None = pinned if is_there(pinned) else None
    if written.get("ca") == "":
        ca = None
    if own_ca is not None:
        ca = Path(own_ca) if own_ca else None
    made_for_us = Path(environment.get("TRIPOST_ADMIN_CLI_TOKEN_FILE") or home / "cli" / "token")
    own_token_file = token_file or environment.get("TRIPOST_TOKEN_FILE")
    used = Path(own_token_file) if own_token_file else made_for_us
    return Place(
        url=_checked(
            url
            or environment.get("TRIPOST_API_URL")
            or written.get("url")
            or (f"https://{listen}" if listen else "")
            or DEFAULT_URL
        ),
        ca=ca,
        token_file=used,
        home=home,
        is_token_made_for_us=used == made_for_us,
    )


def find_home(environment: Mapping[str, str]) -> Path:
    """Give `$TRIPOST_HOME`; else `./var`; else the `var` of the checkout that this environment belongs to.

    A `./var` that another user may have laid there is passed over: our token would go to the address that it names.
    """
    if environment.get("TRIPOST_HOME"):
        return Path(environment["TRIPOST_HOME"])
    here = Path("var")
    of_the_checkout = Path(sys.prefix).parent / "var"
    if not is_there(here / "cli") and is_there(of_the_checkout):
        return of_the_checkout
    said = _against(here, of_the_checkout)
    if not said:
        return here
    note(f"{said}, so ./var is passed over. Set TRIPOST_HOME={here.absolute()} if it is the cluster's.")
    return of_the_checkout


def _against(here: Path, of_the_checkout: Path) -> str:
    """Say what speaks against `./var`; "" when it is the checkout's own, or nobody whom we do not trust writes it.

    We trust ourselves, root, and the user to whom the state of our own checkout belongs: its services run as that one.
    """
    own = _status(of_the_checkout)
    found = _status(here)
    if own is not None and found is not None and os.path.samestat(own, found):
        return ""
    trusted = {0, os.geteuid()} | (set() if own is None else {own.st_uid})
    for path in (here, here / "cli"):
        # Whose a link is counts as well: he may let it lead elsewhere at any time. Its mode says nothing.
        for status, forbidden in ((_status(path, follow=False), 0), (_status(path), OTHERS_WRITE)):
            if status is not None and (said := fault(status, trusted, forbidden)):
                return f"./{path} {said}"
    return ""


def _status(path: Path, *, follow: bool = True) -> os.stat_result | None:
    """Look at it; None for what is not there or cannot be looked at, which is said when it is read."""
    try:
        return path.stat(follow_symlinks=follow)
    except OSError:
        return None


def is_there(path: Path) -> bool:
    """Tell whether there is something; what we may not look at counts as there, so that reading it says why not."""
    try:
        return path.exists()
    except OSError:
        return True


def _checked(url: str) -> str:
    """Require HTTPS, since a token is sent there."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a malformed IPv6 address, a port that is none
        good = False
    if not good:
        raise CommandFailed(
            f"{url!r} is no address of the API; accepted is one like {DEFAULT_URL} (--url, TRIPOST_API_URL).",
            ExitCode.USAGE,
        )
    return url.rstrip("/")


def read_token(place: Place) -> str:
    """Read the token; raises CommandFailed, which never shows what is in the file."""
    try:
        token = place.token_file.read_text().strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError("not one word of a token's characters")
    except ValueError:
        raise CommandFailed(
            f"The file {place.token_file} holds no token; accepted is one line, as tripost token add prints it.",
            ExitCode.NOT_AUTHORISED,
        ) from None
    except FileNotFoundError:
        raise CommandFailed(
            f"There is no token at {place.token_file}. Start the cluster (make run), or, if that token was revoked, "
            "restart admin-api; or set TRIPOST_HOME to the cluster's folder, or name a file with a token: "
            "--token-file, TRIPOST_TOKEN_FILE.",
            ExitCode.NOT_AUTHORISED,
        ) from None
    except OSError as error:
        raise CommandFailed(
            f"The token at {place.token_file} cannot be read: {error.strerror}. Run this as root or as the user who "
            "started the cluster, or name a token of your own: --token-file, TRIPOST_TOKEN_FILE.",
            ExitCode.NOT_AUTHORISED,
        ) from None
    return token


def tls_context(place: Place) -> ssl.SSLContext:
    """Trust the cluster's own certificate alone where there is one; raises CommandFailed."""
    try:
        return ssl.create_default_context(cafile=None if place.ca is None else str(place.ca))
    except OSError as error:
        raise CommandFailed(
            f"The certificate {place.ca} cannot be read: {error}. TRIPOST_API_CA names another copy of it.",
            ExitCode.UNREACHABLE,
        ) from None


def _written(file: Path) -> dict[str, str]:
    try:
        written = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}
