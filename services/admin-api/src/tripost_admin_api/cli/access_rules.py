"""`tripost access`: which clients edge lets in."""

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.adding import IfMissing, add
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, column, done, facts, line, note, rows, structured, time_column
from tripost_admin_api.cli.rule_places import After, Before, Position, move, place
from tripost_shared.contracts.access import AccessAction

RULES: Final = "access/rules"

access = typer.Typer(help="Rules that say which clients may connect.", no_args_is_help=True)


class Clearable(StrEnum):
    """What a rule may have no more."""

    NETWORKS = "networks"
    NAMES = "names"
    HELO = "helo"
    TLS = "tls"
    LISTENER = "listener"
    COMMENT = "comment"
    REPLY = "reply"


Name = Annotated[str, typer.Argument(help="The rule's name, of a-z, 0-9 and hyphens.")]
Action = Annotated[AccessAction, typer.Argument(help="What becomes of clients that match.")]
Networks = Annotated[list[str] | None, typer.Option("--network", help="Such as 192.0.2.0/24; may be repeated.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="Its name in the reverse DNS; .example.org is all below it; may be repeated."),
]
Helo = Annotated[
    list[str] | None,
    typer.Option("--helo", help="What it says in HELO, likewise; literal is any address literal; may be repeated."),
]
Tls = Annotated[bool | None, typer.Option("--tls/--no-tls", help="Whether the session is encrypted.")]
ListenerOption = Annotated[str | None, typer.Option("--listener", help="Of this listener alone.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it counts.")]
Comment = Annotated[str | None, typer.Option("--comment", help="For operators.")]
Reply = Annotated[str | None, typer.Option("--reply", help="The words of a refusal.")]
Tarpit = Annotated[float | None, typer.Option("--tarpit-seconds", help="How long each reply is held back.")]


@access.command("list")
def list_rules(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the rules in their order, with their hits; what can never match is remarked on."""
    items = list(connect(context).all(RULES))
    columns = [
        column("#", "position"),
        column("NAME", "name"),
        column("ACTION", "action"),
        ("LISTENER", lambda item: item["listener"] or "all"),
        ("IF", _conditions),
        column("ENABLED", "enabled"),
        column("HITS", "hits"),
        time_column("LAST HIT (UTC)", "last_hit_at"),
    ]
    rows(output, items, columns, "No access rules: all clients are let in.")
    _remark(items)


@access.command("add")
def add_rule(
    context: typer.Context,
    name: Name,
    action: Action,
    *,
    network: Networks = None,
    dns_name: Names = None,
    helo: Helo = None,
    tls: Tls = None,
    listener: ListenerOption = None,
    enabled: Enabled = None,
    comment: Comment = None,
    reply: Reply = None,
    tarpit_seconds: Tarpit = None,
    position: Position = None,
    before: Before = None,
    after: After = None,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a rule, as the last one unless its place is given."""
    client = connect(context)
    body = _given(
        name=name,
        action=action,
        networks=network,
        names=dns_name,
        helo=helo,
        tls=tls,
        listener=listener,
        enabled=enabled,
        comment=comment,
        reply=reply,
        tarpit_seconds=tarpit_seconds,
        **place(position, before, after),
    )
    added = add(
        output,
        f"Access rule {name}",
        lambda: client.post(RULES, body),
        lambda: client.find(f"{RULES}/{path(name)}"),
        if_missing=if_missing,
    )
    _remark([added] if added else [])


@access.command("show")
def show_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Show a rule."""
    facts(output, connect(context).get(f"{RULES}/{path(name)}"))


@access.command("set")
def set_rule(
    context: typer.Context,
    name: Name,
    *,
    action: Annotated[AccessAction | None, typer.Option("--action", help="What becomes of clients that match.")] = None,
    network: Networks = None,
    dns_name: Names = None,
    helo: Helo = None,
    tls: Tls = None,
    listener: ListenerOption = None,
    enabled: Enabled = None,
    comment: Comment = None,
    reply: Reply = None,
    tarpit_seconds: Tarpit = None,
    clear: Annotated[
        list[Clearable] | None, typer.Option("--clear", help="What it is to have no more; may be repeated.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Change a rule; what is given replaces what it has, the rest stays."""
    patch = _given(
        action=action,
        networks=network,
        names=dns_name,
        helo=helo,
        tls=tls,
        listener=listener,
        enabled=enabled,
        comment=comment,
        reply=reply,
        tarpit_seconds=tarpit_seconds,
    )
    if both := [member.value for member in clear or () if member.value in patch]:
        raise CommandFailed(f"--clear {both[0]} and a value for it exclude each other.", ExitCode.USAGE)
    patch |= {member.value: None for member in clear or ()}
    if not patch:
        raise CommandFailed("Nothing to change; --help lists what there is.", ExitCode.USAGE)
    changed = connect(context).patch(f"{RULES}/{path(name)}", patch)
    done(output, f"Access rule {name} changed.", changed)
    _remark([changed])


@access.command("move")
def move_rule(
    context: typer.Context,
    name: Name,
    position: Position = None,
    before: Before = None,
    after: After = None,
    output: Output = Form.TABLE,
) -> None:
    """Put a rule in another place."""
    moved = move(context, RULES, name, place(position, before, after), what="Access rule", form=output)
    _remark([moved])


@access.command("remove")
def remove_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Remove a rule."""
    connect(context).delete(f"{RULES}/{path(name)}")
    done(output, f"Access rule {name} removed.", {"removed": name})


@access.command("explain")
def explain(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="A client's IP address.")],
    listener: ListenerOption = None,
    helo: Annotated[str | None, typer.Option("--helo", help="What it says in HELO or EHLO.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Its name in the reverse DNS, which leads back to it; '' for none.")
    ] = None,
    tls: Tls = None,
    output: Output = Form.TABLE,
) -> None:
    """Say which rule decides about a client, or what that depends on; and what else concerns its address."""
    query = _given(address=address, listener=listener, helo=helo, name=name, tls=tls)
    explained = connect(context).get("access/explain", **query)
    if output is not Form.TABLE:
        structured(output, explained)
        return
    for sentence in explained["words"]:
        line(sentence)


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _conditions(item: dict[str, Any]) -> str:
    """Show what a rule looks at in a few words."""
    told = [
        f"{label} {shown}"
        for label, values in (("network", item["networks"]), ("name", item["names"]), ("HELO", item["helo"]))
        for shown in [", ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "")]
        if values
    ]
    if item["tls"] is not None:
        told.append("TLS" if item["tls"] else "no TLS")
    return "; ".join(told) or "any client"


def _remark(items: list[dict[str, Any]]) -> None:
    for item in items:
        for warning in item["warnings"]:
            note(f"Rule {item['name']} {warning}.")
