"""`tripost mailbox app-password`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.output import Form, Output, column, done, facts, line, note, rows, structured, time_column

app_password = typer.Typer(help="Passwords of a mailbox for one program each.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The mailbox, such as user@local.test.")]
Name = Annotated[str, typer.Argument(help="Such as phone: a-z, 0-9, dot, hyphen, underscore.")]


@app_password.command("list")
def list_app_passwords(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """List a mailbox's application passwords; what they are is not kept."""
    columns = [
        column("NAME", "name"),
        column("GOOD FOR", "scope"),
        column("FROM", "networks"),
        time_column("MADE (UTC)", "created_at"),
        time_column("EXPIRES (UTC)", "expires_at"),
        time_column("LAST USED (UTC)", "last_used_at"),
    ]
    items = connect(context).all(path("mailboxes", address, "app-passwords"))
    rows(output, items, columns, f"{address} has no application passwords.")


@app_password.command("add")
def add_app_password(
    context: typer.Context,
    address: Address,
    name: Name,
    network: Annotated[
        list[str] | None, typer.Option("--network", help="Good from this network only; may be given several times.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help="Good for so many days; else for ever.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Make an application password, and print it this once."""
    expires_at = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body: dict[str, Any] = {"name": name, "networks": network or [], "expires_at": expires_at}
    made = connect(context).post(path("mailboxes", address, "app-passwords"), body)
    if output is not Form.TABLE:
        structured(output, made)
        return
    note(f"Application password {name} of {address} made. It is shown this once:")
    line(made["password"])


@app_password.command("show")
def show_app_password(context: typer.Context, address: Address, name: Name, output: Output = Form.TABLE) -> None:
    """Show what is known of an application password."""
    facts(output, connect(context).get(path("mailboxes", address, "app-passwords", name)))


@app_password.command("remove")
def remove_app_password(context: typer.Context, address: Address, name: Name, output: Output = Form.TABLE) -> None:
    """Revoke an application password, at once."""
    connect(context).delete(path("mailboxes", address, "app-passwords", name))
    done(output, f"Application password {name} of {address} revoked.", {"removed": name})
