"""`tripost listener`: where edge takes clients."""

from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.adding import IfMissing, add
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.edge_limits import values
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, cell, column, done, line, rows, structured
from tripost_shared.contracts.listeners import TlsMinimum, TlsMode
from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.mail.client import ListenerKind

listener = typer.Typer(help="Where edge takes clients, and what holds there.", no_args_is_help=True)

RESETTABLE: Final = ("address", "kind", "tls", "tls_minimum", "ciphers", "proxies", "mechanisms", "limits", "nodes")
Name = Annotated[str, typer.Argument(help="Such as mx, or inside.")]
Address = Annotated[str | None, typer.Option("--address", help="Such as 192.0.2.1:25; a built-in one has its own.")]
Kind = Annotated[
    ListenerKind | None,
    typer.Option("--kind", help="mx: no login; submission: login needed; internal: our own machines."),
]
Tls = Annotated[TlsMode | None, typer.Option("--tls", help="implicit: from the first octet.")]
Minimum = Annotated[TlsMinimum | None, typer.Option("--tls-minimum", help="The oldest TLS that is spoken.")]
Ciphers = Annotated[
    list[str] | None, typer.Option("--cipher", help="A suite of TLS 1.2, as OpenSSL has it; repeatable.")
]
Proxies = Annotated[
    list[str] | None, typer.Option("--proxy", help="A network whose hosts speak the PROXY protocol; repeatable.")
]
Mechanisms = Annotated[list[Mechanism] | None, typer.Option("--mechanism", help="Of SASL; repeatable.")]
Limits = Annotated[
    list[str] | None, typer.Option("--limit", metavar="NAME=VALUE", help="What `edge-limit show` calls per listener.")
]
Nodes = Annotated[list[str] | None, typer.Option("--node", help="A replica that opens it; repeatable. Else all do.")]
Comment = Annotated[str | None, typer.Option("--comment", help="For whoever reads the list.")]
CheckAuthor = Annotated[
    bool | None,
    typer.Option(
        "--check-author/--no-check-author", help="Whether logins write only as authors that they may send as."
    ),
]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it is open.")]
Reset = Annotated[
    list[str] | None, typer.Option("--reset", help=f"Back to the default; repeatable: {', '.join(RESETTABLE)}.")
]


@listener.command("list")
def list_listeners(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the listeners, built-in ones among them, and where they are open."""
    columns = [
        column("NAME", "name"),
        column("ENABLED", "enabled"),
        column("KIND", "kind"),
        column("TLS", "tls"),
        column("OVERRIDES", "overrides"),
        ("OPEN AT", lambda item: [_place(one) for one in item["open_at"] if not one["trouble"]]),
        ("TROUBLE", lambda item: [f"{one['node']}: {one['trouble']}" for one in item["open_at"] if one["trouble"]]),
        column("COMMENT", "comment"),
    ]
    rows(output, connect(context).all("listeners"), columns, "No listeners.")


@listener.command("show")
def show_listener(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Show a listener, and the edges that have it open."""
    item = connect(context).get(path("listeners", name))
    if output is not Form.TABLE:
        structured(output, item)
        return
    places = item.pop("open_at")
    for field, value in item.items():
        line(f"{field.replace('_', ' '):<14}{cell(value)}")
    for place in places:
        line(f"{'open at':<14}{_place(place)} ({cell(place['trouble'] or place['instance'])})")


@listener.command("add")
def add_listener(
    context: typer.Context,
    name: Name,
    *,
    address: Address = None,
    kind: Kind = None,
    tls: Tls = None,
    tls_minimum: Minimum = None,
    ciphers: Ciphers = None,
    proxies: Proxies = None,
    mechanisms: Mechanisms = None,
    check_author: CheckAuthor = None,
    limits: Limits = None,
    nodes: Nodes = None,
    comment: Comment = None,
    enabled: Enabled = None,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a listener, or configure a built-in one; sessions go on."""
    given = _given(
        address=address,
        kind=kind,
        tls=tls,
        tls_minimum=tls_minimum,
        ciphers=ciphers,
        proxies=proxies,
        mechanisms=mechanisms,
        check_author=check_author,
        limits=limits,
        nodes=nodes,
        comment=comment,
        enabled=enabled,
    )
    client = connect(context)
    add(
        output,
        f"Listener {name}",
        lambda: client.post("listeners", {"name": name, **given}),
        lambda: client.find(path("listeners", name)),
        if_missing=if_missing,
    )


@listener.command("set")
def set_listener(
    context: typer.Context,
    name: Name,
    *,
    address: Address = None,
    kind: Kind = None,
    tls: Tls = None,
    tls_minimum: Minimum = None,
    ciphers: Ciphers = None,
    proxies: Proxies = None,
    mechanisms: Mechanisms = None,
    check_author: CheckAuthor = None,
    limits: Limits = None,
    nodes: Nodes = None,
    comment: Comment = None,
    enabled: Enabled = None,
    reset: Reset = None,
    output: Output = Form.TABLE,
) -> None:
    """Change a listener; what is not given stays. Lists are replaced as a whole, limits one by one."""
    given = _given(
        address=address,
        kind=kind,
        tls=tls,
        tls_minimum=tls_minimum,
        ciphers=ciphers,
        proxies=proxies,
        mechanisms=mechanisms,
        check_author=check_author,
        limits=limits,
        nodes=nodes,
        comment=comment,
        enabled=enabled,
    )
    odd = sorted({*(reset or ())} - {*RESETTABLE})
    if odd:
        raise CommandFailed(
            f"--reset does not know {', '.join(odd)}; accepted: {', '.join(RESETTABLE)}.", ExitCode.USAGE
        )
    patch = {**dict.fromkeys(reset or ()), **given}
    if not patch:
        raise CommandFailed("Nothing to change; --help lists what there is.", ExitCode.USAGE)
    done(output, f"Listener {name} changed.", connect(context).patch(path("listeners", name), patch))


@listener.command("remove")
def remove_listener(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Close a listener, whose sessions go on to their end; a built-in one is again as it is built in."""
    connect(context).delete(path("listeners", name))
    done(output, f"Listener {name} removed.", {"removed": name})


def _given(**options: Any) -> dict[str, Any]:
    """Give what was given, as the API wants it."""
    given = {name: value for name, value in options.items() if value is not None and value != []}
    if "limits" in given:
        given["limits"] = values(given["limits"])
    return given


def _place(one: dict[str, Any]) -> str:
    return f"{one['address']} on {one['node']}"
