"""Where the command line finds the cluster: its address, its certificate, the token."""

import json
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tripost_admin_api.cli.failure import CommandFailed, ExitCode

DEFAULT_URL = "https://127.0.0.1:8443"


@dataclass(frozen=True, slots=True)
class Place:
    """What a client needs. `ca` None: what the system trusts."""

    url: str
    ca: Path | None
    token_file: Path
    home: Path


def find(environment: Mapping[str, str], url: str = "") -> Place:
    """Find the cluster: by the environment, else by what it has written under `$TRIPOST_HOME/cli`."""
    home = find_home(environment)
    written = _written(home / "cli" / "config")
    listen = environment.get("TRIPOST_ADMIN_LISTEN", "")
    own_ca = environment.get("TRIPOST_API_CA")
    pinned = home / "tls" / "admin.crt"
    ca: Path | None = pinned if pinned.is_file() else None
    if written.get("ca") == "":
        ca = None
    if own_ca is not None:
        ca = Path(own_ca) if own_ca else None
    token_file = environment.get("TRIPOST_TOKEN_FILE") or environment.get("TRIPOST_ADMIN_CLI_TOKEN_FILE")
    return Place(
        url=(
            url
            or environment.get("TRIPOST_API_URL")
            or written.get("url")
            or (f"https://{listen}" if listen else "")
            or DEFAULT_URL
        ).rstrip("/"),
        ca=ca,
        token_file=Path(token_file) if token_file else home / "cli" / "token",
        home=home,
    )


def find_home(environment: Mapping[str, str]) -> Path:
    """Give `$TRIPOST_HOME`; else `./var`; else the `var` of the checkout that this environment belongs to."""
    if environment.get("TRIPOST_HOME"):
        return Path(environment["TRIPOST_HOME"])
    here = Path("var")
    of_the_checkout = Path(sys.prefix).parent / "var"
    return of_the_checkout if not (here / "cli").is_dir() and of_the_checkout.is_dir() else here


def read_token(place: Place) -> str:
    """Read the token; raises CommandFailed."""
    try:
        return place.token_file.read_text().strip()
    except FileNotFoundError:
        raise CommandFailed(
            f"There is no token at {place.token_file}. Start the cluster once (make run), or set TRIPOST_HOME to its "
            "folder, or TRIPOST_TOKEN_FILE to a file with a token.",
            ExitCode.NOT_AUTHORISED,
        ) from None
    except OSError as error:
        raise CommandFailed(
            f"The token at {place.token_file} cannot be read: {error.strerror}. Run this as the user who started the "
            "cluster, or set TRIPOST_TOKEN_FILE to a token of your own.",
            ExitCode.NOT_AUTHORISED,
        ) from None


def tls_context(place: Place) -> ssl.SSLContext:
    """Trust the cluster's own certificate alone where there is one; raises CommandFailed."""
    try:
        return ssl.create_default_context(cafile=None if place.ca is None else str(place.ca))
    except OSError as error:
        raise CommandFailed(f"The certificate {place.ca} cannot be read: {error}", ExitCode.UNREACHABLE) from None


def _written(file: Path) -> dict[str, str]:
    try:
        written = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}
