"""Options and steps that many commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, done, note, structured

IfMissing = Annotated[
    bool,
    typer.Option(
        "--if-missing", help="It is no error when it exists already: it is left as it is, and printed as JSON or YAML."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Also when mail is queued for it, which may bounce then.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def add(
    form: Form,
    what: str,
    work: Callable[[], dict[str, Any]],
    find: Callable[[], dict[str, Any] | None],
    *,
    if_missing: bool,
) -> dict[str, Any]:
    """Add something and say so; gives what the API says of it, nothing when it was there.

    `find` gives what is there; None when a conflict has another reason than that.
    """
    try:
        item = work()
    except CommandFailed as failure:
        present = find() if if_missing and failure.code is ExitCode.CONFLICT else None
        if present is None:
            raise
        left_as_it_is(form, what, present)
        return {}
    done(form, f"{what} added.", item)
    return item


def left_as_it_is(form: Form, what: str, present: dict[str, Any]) -> None:
    """Say that something exists already; programs get it, as if it had just been added."""
    note(f"{what} exists already; left as it is.")
    if form is not Form.TABLE:
        structured(form, present)


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
