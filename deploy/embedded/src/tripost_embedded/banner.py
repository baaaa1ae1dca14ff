"""What the cluster tells people. Pure."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tripost_embedded.home import Home
from tripost_embedded.ports import MX, SUBMISSION, Place
from tripost_shared.hostname import is_qualified

_CLI: Final = ".venv/bin/tripost"
_LATER: Final = ("status", "message list", "queue list")
_FOR_CLI: Final = ("TRIPOST_HOME", "TRIPOST_ADMIN_CLI_TOKEN_FILE")  # the rest it finds under the first of these


def ready_text(
    places: Sequence[Place], home: Home, hostname: str, operators: Mapping[str, str], first_password: str
) -> str:
    """Say where everything is and what to try; `first_password` is "" except at the very first start.

    What is proposed then has been done, or been chosen otherwise, when the cluster starts again.
    """
    token_file = Path(operators.get("TRIPOST_ADMIN_CLI_TOKEN_FILE") or home.asked / "cli" / "token")
    given = [f"{name}={shlex.quote(operators[name])} " for name in _FOR_CLI if operators.get(name)]
    command = "".join(given) + _CLI
    lines = ["", "Tripost is ready. Ctrl-C stops it.", ""]
    lines += [f"  {address:<22} {listener.purpose}" for listener, address in places]
    lines += ["", f"  {'host name':<22} {hostname}{_doubt(hostname)}"]
    lines += [f"  {'state, mail, logs':<22} {home.asked}", f"  {'command line token':<22} {token_file}"]
    if first_password:
        lines += [f"  {'one-time password':<22} {first_password}   (of the administrator; it is shown this once)"]
    lines += ["", "Try next, in another terminal, in the same folder:", ""]
    beginning = (_demo(places), "domain add local.test", "mailbox add user@local.test")
    lines += [f"  {command} {words}" for words in (beginning if first_password else _LATER)]
    return "\n".join([*lines, ""])


def _doubt(hostname: str) -> str:
    return (
        ""
        if is_qualified(hostname)
        else "   (not a fully qualified one; other hosts may mind: TRIPOST_HOSTNAME sets it)"
    )


def _demo(places: Sequence[Place]) -> str:
    """Give the command's words; it must be told of listeners elsewhere than by default."""
    options = {MX.variable: "--mx", SUBMISSION.variable: "--submission"}
    moved = [
        f"{options[listener.variable]} {address}"
        for listener, address in places
        if listener.variable in options and address != listener.default
    ]
    return " ".join(["demo", *moved])


def unknown_notice(unknown: str, nearest: str) -> str:
    """Say that a variable is no setting, and which one may have been meant ("" for none)."""
    meant = f"; did you mean {nearest}?" if nearest else ". All are in docs/settings.md."
    return f"there is no setting {unknown}, so it is ignored{meant}"


def unreachable_notice(user: str, closed: Path) -> str:
    """Say that the run user cannot reach the code, and how to mend it."""
    return (
        f"Note: the services run as user {user}, who cannot pass through {closed}, where Tripost's code is.\n"
        "They run nevertheless: their code is opened before root is given up. To do without, use one of:\n"
        f"  chmod o+x {closed}         let other users pass through (not list) that folder\n"
        "  a clone under /opt or /srv, or start Tripost as an ordinary user\n"
        "  TRIPOST_RUN_USER=name      a user who can reach it"
    )


def state_notice(user: str, asked: Path, real: Path) -> str:
    """Say that the state lies elsewhere, since the run user could not reach its place."""
    return f"Note: user {user} cannot reach {asked}, so the state is in {real}, and {asked} is a link to it."


def shared_user_notice(user: str) -> str:
    """Say that the default run user may be that of other programs as well."""
    return f"All state belongs to user {user}; for real mail make a user of its own: TRIPOST_RUN_USER"
