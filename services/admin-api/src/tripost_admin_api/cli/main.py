"""The command `tripost`: administers a running cluster, from anywhere that reaches its API."""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tripost_admin_api.cli.access import admin, token
from tripost_admin_api.cli.access_rules import access
from tripost_admin_api.cli.app_passwords import app_password
from tripost_admin_api.cli.arrangement import arranged
from tripost_admin_api.cli.author_check import author_check
from tripost_admin_api.cli.bans import ban
from tripost_admin_api.cli.client import Options
from tripost_admin_api.cli.demo import demo
from tripost_admin_api.cli.directory import alias, domain, grant, mailbox
from tripost_admin_api.cli.edge_limits import edge_limit
from tripost_admin_api.cli.edge_networks import relay_network, xclient_network
from tripost_admin_api.cli.examples import show_examples
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.limits import limit
from tripost_admin_api.cli.listeners import listener
from tripost_admin_api.cli.messages import message
from tripost_admin_api.cli.output import note
from tripost_admin_api.cli.policy import policy
from tripost_admin_api.cli.queue import queue
from tripost_admin_api.cli.routing import route
from tripost_admin_api.cli.rules import rule
from tripost_admin_api.cli.status import status

EPILOG = (
    "--url, --token-file and -o may stand anywhere, before or after the command. "
    "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 conflict (exists already), 5 not reachable, "
    "6 not authorised, 130 broken off (Ctrl-C)."
)
BROKEN_OFF = "Broken off; what was under way may have been done."

app = typer.Typer(
    name="tripost",
    help="Administer a Tripost mail cluster.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would show local variables, passwords among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
mailbox.add_typer(app_password, name="app-password")
for name, group in (
    ("domain", domain),
    ("mailbox", mailbox),
    ("alias", alias),
    ("route", route),
    ("grant", grant),
    ("queue", queue),
    ("message", message),
    ("policy", policy),
    ("relay-network", relay_network),
    ("rule", rule),
    ("limit", limit),
    ("xclient-network", xclient_network),
    ("author-check", author_check),
    ("access", access),
    ("ban", ban),
    ("listener", listener),
    ("edge-limit", edge_limit),
    ("token", token),
    ("admin", admin),
):
    app.add_typer(group, name=name)
app.command("status")(status)
app.command("demo")(demo)
show_examples(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 (seldom needed)

        typer.echo(f"tripost {version('tripost-admin-api')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str, typer.Option("--url", help="The API's address. Default: TRIPOST_API_URL, or what the cluster says.")
    ] = "",
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file", help="The file with the token. Default: TRIPOST_TOKEN_FILE, or what the cluster has made."
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Administer a Tripost mail cluster."""
    context.obj = Options(url, token_file)


def main() -> None:
    """Run one command, and exit with its code: what goes wrong is one line on standard error, never a traceback."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives its exit code."""
    try:
        "".join(arguments).encode()
        code = app(args=arranged(arguments), prog_name="tripost", standalone_mode=False)
        sys.stdout.flush()
    except CommandFailed as failure:
        return _ended(str(failure), failure.code)
    except TyperException as error:  # wrong arguments
        return _ended(error.format_message().replace("Value error, ", ""), error.exit_code)
    except typer.Abort:
        return _ended(BROKEN_OFF, ExitCode.BROKEN_OFF)
    except UnicodeEncodeError:
        return _ended("An argument is no UTF-8 text.", ExitCode.USAGE)
    except OSError as error:
        _let_go_of_output()
        reader_has_gone = isinstance(error, BrokenPipeError)  # nothing more to say
        return _ended("" if reader_has_gone else f"The result cannot be written: {error.strerror}", ExitCode.FAILED)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        return _ended(f"This command is broken ({type(error).__name__} at {where}); please report it.", ExitCode.FAILED)
    if code == ExitCode.BROKEN_OFF:
        return _ended(BROKEN_OFF, code)
    return code if isinstance(code, int) else ExitCode.OK


def _let_go_of_output() -> None:
    """Have what could not be written go nowhere, or Python would try again at its end, and fail loudly."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ended(message: str, code: int) -> int:
    if message:  # none beside a help text
        note(f"tripost: {message}")
    return code


if __name__ == "__main__":
    main()
