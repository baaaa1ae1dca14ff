"""`tripost token` and `tripost admin`: who may administer."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from tripost_admin_api.access.actor import Scope
from tripost_admin_api.cli.adding import PasswordStdin, read_password
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, column, done, facts, line, note, rows, structured, time_column

token = typer.Typer(help="Tokens for programs.", no_args_is_help=True)
admin = typer.Typer(help="The operator's own access.", no_args_is_help=True)


WITHOUT_OURS: Final = "The command line then works no more until admin-api, restarted, has made another for it."
Name = Annotated[str, typer.Argument(help="Such as backup-job: a-z, 0-9, dot, hyphen, underscore.")]


@token.command("list")
def list_tokens(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the tokens; what they are is not kept."""
    columns = [
        column("NAME", "name"),
        column("SCOPE", "scope"),
        time_column("MADE (UTC)", "created_at"),
        time_column("EXPIRES (UTC)", "expires_at"),
        time_column("LAST USED (UTC)", "last_used_at"),
    ]
    rows(output, connect(context).all("tokens"), columns, "No tokens.")


@token.command("add")
def add_token(
    context: typer.Context,
    name: Name,
    scope: Annotated[Scope, typer.Option("--scope", help="read: look only; admin: everything.")] = Scope.READ,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help="Good for so many days; else for ever.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Make a token, and print it this once."""
    expires_at = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    made = connect(context).post("tokens", {"name": name, "scope": scope, "expires_at": expires_at})
    if output is not Form.TABLE:
        structured(output, made)
        return
    note(f"Token {name} made. It is shown this once:")
    line(made["token"])


@token.command("show")
def show_token(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Show what is known of a token."""
    facts(output, connect(context).get(path("tokens", name)))


@token.command("remove")
def remove_token(
    context: typer.Context,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Also when it is the one that this command uses.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """Revoke a token; refused when it is the one that this command uses."""
    client = connect(context)
    try:
        client.delete(path("tokens", name), force=force)
    except CommandFailed as failure:
        if failure.code is ExitCode.CONFLICT and client.place.is_token_made_for_us:
            raise CommandFailed(f"{failure} {WITHOUT_OURS}", failure.code) from None
        raise
    done(output, f"Token {name} revoked.", {"removed": name})


@admin.command("password")
def set_admin_password(
    context: typer.Context,
    operator: Annotated[str, typer.Option("--operator", help="Whose.")] = "admin",
    password_stdin: PasswordStdin = False,
    output: Output = Form.TABLE,
) -> None:
    """Set the operator's password; their sessions end."""
    client = connect(context)
    password = read_password(f"operator {operator}", from_stdin=password_stdin)
    client.put(path("operators", operator, "password"), {"password": password})
    done(output, f"Password of operator {operator} set.", {"operator": operator})
