"""Options and steps that many commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tripost_admin_api.cli.client import Client
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, done, note

IfMissing = Annotated[bool, typer.Option("--if-missing", help="It is no error when it exists already.")]
Force = Annotated[bool, typer.Option("--force", help="Also when mail is queued for it, which may bounce then.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def add(
    form: Form,
    what: str,
    work: Callable[[], dict[str, Any]],
    *,
    if_missing: bool,
    is_there: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Add something and say so; gives what the API says of it, nothing when it was there.

    `is_there` tells whether a conflict is that it exists, where it may be another.
    """
    try:
        item = work()
    except CommandFailed as failure:
        if not (if_missing and failure.code is ExitCode.CONFLICT and is_there()):
            raise
        note(f"{what} exists already; left as it is.")
        return {}
    done(form, f"{what} added.", item)
    return item


def exists(client: Client, where: str) -> bool:
    """Tell whether there is such a thing."""
    try:
        client.get(where)
    except CommandFailed as failure:
        if failure.code is ExitCode.NOT_FOUND:
            return False
        raise
    return True


def read_password(what: str, *, from_stdin: bool) -> str:
    """Read a new password: one line of standard input, or twice without echo from a terminal.

    It is never an argument, since every user of the machine can see those. Raises CommandFailed.
    """
    password = _from_stdin() if from_stdin else _from_terminal(what)
    try:
        password.encode()
    except UnicodeEncodeError:  # in some locales, other octets come as halves of surrogates
        raise CommandFailed("The password is no UTF-8 text.", ExitCode.USAGE) from None
    return password


def _from_stdin() -> str:
    try:
        password = sys.stdin.read(10_000).removesuffix("\n").removesuffix("\r") if sys.stdin is not None else ""
    except UnicodeDecodeError:
        raise CommandFailed("The password is no UTF-8 text.", ExitCode.USAGE) from None
    if not password:
        raise CommandFailed("There is no password on standard input.", ExitCode.USAGE)
    return password


def _from_terminal(what: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandFailed("Give the password on standard input: --password-stdin.", ExitCode.USAGE)
    try:
        password = str(typer.prompt(f"Password for {what}", hide_input=True, err=True))
        again = typer.prompt("The same again", hide_input=True, err=True)
    except typer.Abort:
        raise CommandFailed("Broken off; nothing was changed.", ExitCode.BROKEN_OFF) from None
    if password != again:
        raise CommandFailed("The two passwords differ; nothing was changed.", ExitCode.USAGE)
    return password
