"""The command `tripost`: administers a running cluster, from anywhere that reaches its API."""

import sys
from typing import Annotated

import typer

from tripost_admin_api.cli.access import admin, token
from tripost_admin_api.cli.client import Options
from tripost_admin_api.cli.demo import demo
from tripost_admin_api.cli.directory import alias, domain, grant, mailbox
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.messages import message
from tripost_admin_api.cli.policy import policy
from tripost_admin_api.cli.queue import queue
from tripost_admin_api.cli.routing import relay_network, route
from tripost_admin_api.cli.status import status

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 conflict (exists already), 5 not reachable, "
    "6 not authorised."
)

app = typer.Typer(
    name="tripost",
    help="Administer a Tripost mail cluster.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would show local variables, passwords among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
    ("token", token),
    ("admin", admin),
):
    app.add_typer(group, name=name)
app.command("status")(status)
app.command("demo")(demo)


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
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Administer a Tripost mail cluster."""
    context.obj = Options(url)


def main() -> None:
    """Run one command, and exit with its code."""
    try:
        app()
    except CommandFailed as failure:
        typer.echo(f"tripost: {failure}", err=True)
        sys.exit(failure.code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing more to say
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
