"""`tripost route`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tripost_admin_api.cli.adding import Force, IfMissing, add
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.output import Form, Output, column, done, facts, rows, time_column

route = typer.Typer(help="Where mail for other domains goes.", no_args_is_help=True)


class Tls(StrEnum):
    """Whether the next hop is spoken to by TLS."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"


Domain = Annotated[str, typer.Argument(help="Such as example.org; .example.org is all below it, * any.")]
Host = Annotated[str | None, typer.Option("--host", help="The next hop's name or address; else by MX records.")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="The port of --host; else 25.")]
TlsOption = Annotated[Tls, typer.Option("--tls", help="none: never; may: when it is offered; encrypt: never without.")]
FromAnyone = Annotated[bool, typer.Option("--accept-from-anyone", help="Take mail for it from any client, as its MX.")]
Network = Annotated[str, typer.Argument(help="Such as 192.0.2.0/24.")]


@route.command("list")
def list_routes(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the routes."""
    columns = [
        column("DOMAIN", "domain"),
        ("NEXT HOP", lambda item: "MX records" if item["host"] is None else item["host"]),
        column("PORT", "port"),
        column("TLS", "tls"),
        column("FROM ANYONE", "accepts_from_anyone"),
        time_column("ADDED (UTC)", "created_at"),
    ]
    rows(output, connect(context).all("routes"), columns, "No routes: mail goes where MX records say.")


@route.command("add")
def add_route(
    context: typer.Context,
    domain: Domain,
    host: Host = None,
    port: Port = None,
    tls: TlsOption = Tls.MAY,
    accept_from_anyone: FromAnyone = False,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a route."""
    client = connect(context)
    body = {"domain": domain} | _settings(host, port, tls, accept_from_anyone)
    add(
        output,
        f"Route for {domain}",
        lambda: client.post("routes", body),
        lambda: client.find(path("routes", domain)),
        if_missing=if_missing,
    )


@route.command("show")
def show_route(context: typer.Context, domain: Domain, output: Output = Form.TABLE) -> None:
    """Show a route."""
    facts(output, connect(context).get(path("routes", domain)))


@route.command("set")
def set_route(
    context: typer.Context,
    domain: Domain,
    host: Host = None,
    port: Port = None,
    tls: TlsOption = Tls.MAY,
    accept_from_anyone: FromAnyone = False,
    output: Output = Form.TABLE,
) -> None:
    """Replace all of a route's settings."""
    body = _settings(host, port, tls, accept_from_anyone)
    done(output, f"Route for {domain} set.", connect(context).put(path("routes", domain), body))


@route.command("remove")
def remove_route(context: typer.Context, domain: Domain, force: Force = False, output: Output = Form.TABLE) -> None:
    """Remove a route; refused while mail is queued for it."""
    connect(context).delete(path("routes", domain), force=force)
    done(output, f"Route for {domain} removed.", {"removed": domain})


def _settings(host: str | None, port: int | None, tls: Tls, from_anyone: bool) -> dict[str, Any]:
    """Say where the mail goes; a port only when one is wanted, since without a host there is none."""
    given = {} if port is None else {"port": port}
    return {"host": host, **given, "tls": tls, "accepts_from_anyone": from_anyone}
