"""Writes `docs/reference/cli.md` from the commands: `python -m tripost_admin_api.cli.reference`, `--check` compares."""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import typer

from tripost_admin_api.cli.examples import EXAMPLES
from tripost_admin_api.cli.main import app
from tripost_admin_api.generated_page import write_or_compare

PLACE: Final = Path("docs/reference/cli.md")
SAID_ONCE: Final = frozenset({"output", "help", "install_completion", "show_completion"})

INTRODUCTION: Final = """\
# The command line

`tripost` administers a running cluster through its REST API, from wherever that can be reached.
This page is generated from the commands themselves (`python -m tripost_admin_api.cli.reference`).

## Where it finds the cluster

| what | where, the first that is there |
|---|---|
| the state's folder | `TRIPOST_HOME`; `./var` (see below); the `var` of the checkout that the command is from |
| the API (HTTPS) | `--url`; `TRIPOST_API_URL`; that folder's `cli/config`; `https://127.0.0.1:8443` |
| the token | the file `--token-file`; the file `TRIPOST_TOKEN_FILE`; that folder's `cli/token` |
| the certificate | the file `TRIPOST_API_CA` (empty: the system's); that folder's `tls/admin.crt`; the system's |

`./var` and `./var/cli` must belong to you, to root, or to the user who owns the `var` of that checkout, and be writable
by their owner only. Else `./var` is passed over, which is said: neither its address, nor its certificate, nor its token
is used.

## Options of every command

These may stand anywhere, before or after the command: `tripost -o json domain list` is `tripost domain list -o json`.

| option | what | accepted |
|---|---|---|
| `-o`, `--output` | how the result is printed | `table` (the default), `json`, `yaml` |
| `--url` | the API's address | such as `https://127.0.0.1:8443` |
| `--token-file` | the file with the token | a path |
| `-h`, `--help` | what the command takes, with an example | |
| `--version` | the version; without a command | |

What follows `--` is no option, whatever it looks like.

## What it prints

Results go to standard output, remarks to standard error. An error is one line there that begins with `tripost:`, and
nothing on standard output (but for `status` and `demo`, and for `queue` with several messages: each is tried, what was
done is printed, each failure is a line, and the first gives the exit code). Characters that a terminal would obey,
which mail may hold, are `?` in tables and escaped in JSON and YAML. Passwords are read from a terminal or, with
`--password-stdin`, from standard input, and are never arguments. Times are UTC.

Lists are JSON lists, also when they are empty, and whole. They are printed as they are read, 500 items at a time: an
error after the first ones leaves a JSON list without its end, and shows in the exit code. Only `queue list` and
`message list` stop after a number of messages: a table by itself, every form with `--limit`. Where there are more, a
remark says so.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed; `status`: something is wrong, which it says on top; `demo`: something did not go as it should |
| 2 | wrong arguments, those that the API refuses among them |
| 3 | not found |
| 4 | conflict: it exists already (`--if-missing` makes that no error), or its state does not allow this |
| 5 | the API, or its database, cannot be reached |
| 6 | not authorised: no token, a wrong one, or one that may only look |
| 130 | broken off by Ctrl-C |

## Commands
"""


def document() -> str:
    """Give the page."""
    return INTRODUCTION + "\n".join(_group("tripost", typer.main.get_command(app))) + "\n"


def _group(name: str, group: Any) -> Iterator[str]:
    """Describe the commands of a group, and of the groups in it."""
    for own_name, command in group.commands.items():
        whole = f"{name} {own_name}"
        if hasattr(command, "commands"):
            if name == "tripost":
                yield f"\n### {whole}\n\n{_escaped(command.help)}"
            yield from _group(whole, command)
        else:
            yield from _command(whole, command)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name not in SAID_ONCE
    ]
    usage = " ".join([name, *map(_usage, arguments), *(["[options]"] if options else [])])
    yield f"\n**`{usage}`**: {_escaped(command.help)}"
    if arguments or options:
        yield ""
    kinds = get_type_hints(command.callback)
    for argument in arguments:
        accepted = _accepted(argument, kinds[argument.name])
        yield f"- `{_placeholder(argument)}`: {_escaped(argument.help)}{accepted}"
    for option in options:
        names = ", ".join(f"`{own}`" for own in (*option.opts, *option.secondary_opts))
        yield f"- {names}: {_escaped(option.help)}{_accepted(option, kinds[option.name])}{_default(option)}"
    yield f"\nExample: `tripost {EXAMPLES[name.partition(' ')[2]]}`"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("*", r"\*").replace("<", r"\<")


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _usage(argument: Any) -> str:
    text = _placeholder(argument) + ("…" if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _accepted(parameter: Any, kind: Any) -> str:
    """Say which values are accepted, where that is not any text."""
    kinds = {kind, *get_args(kind)} - {type(None)}
    for one in kinds:
        if isinstance(one, type) and issubclass(one, Enum):
            return f" Accepted: {', '.join(f'`{member.value}`' for member in one)}."
    if int in kinds:
        return f" A whole number{_bounds(parameter)}."
    return " A number." if float in kinds else ""


def _bounds(parameter: Any) -> str:
    if parameter.min is not None and parameter.max is not None:
        return f" from {parameter.min} to {parameter.max}"
    return f", {parameter.min} or more" if parameter.min is not None else ""


def _default(option: Any) -> str:
    default = option.default
    if default in (None, False, "", ()) or callable(default) or option.secondary_opts:
        return ""
    return f" Default: `{default}`."


def main() -> int:
    """Exit 1 when the page is not what the commands say."""
    return write_or_compare("tripost_admin_api.cli.reference", __doc__, PLACE, document())


if __name__ == "__main__":
    sys.exit(main())
