"""`tripost rule`: what becomes of mail by who sends what to whom."""

from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.adding import IfMissing, add
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, cell, column, done, facts, rows
from tripost_admin_api.cli.rule_places import After, Before, Position, move, place
from tripost_shared.contracts.control import ControlAction

rule = typer.Typer(help="Control rules: refuse, hold, redirect, mark or limit mail.", no_args_is_help=True)

CONDITIONS: Final = ("reverse_paths", "recipients", "logins", "networks", "helo", "size_over_octets", "listeners")
OF_ACTIONS: Final = ("to", "header_name", "header_value", "rate", "text")
RULES: Final = "control/rules"

Name = Annotated[str, typer.Argument(help="The rule's name, such as no-bulk.")]
ReversePaths = Annotated[
    list[str] | None,
    typer.Option("--reverse-path", help="Who sends: an address, @domain, .domain for all below it, or <>."),
]
Recipients = Annotated[list[str] | None, typer.Option("--recipient", help="To whom: an address, @domain, .domain.")]
Logins = Annotated[list[str] | None, typer.Option("--login", help="A login, @domain, .domain, or * for any.")]
Networks = Annotated[list[str] | None, typer.Option("--network", help="The client's network, such as 192.0.2.0/24.")]
Helo = Annotated[list[str] | None, typer.Option("--helo", help="What the client calls itself: a name, .domain.")]
SizeOver = Annotated[int | None, typer.Option("--size-over", min=0, help="The message has more octets.")]
Listeners = Annotated[list[str] | None, typer.Option("--listener", help="The listener's name, such as mx.")]
Words = Annotated[str | None, typer.Option("--text", help="The words of a refusal.")]
To = Annotated[str | None, typer.Option("--to", help="redirect: who gets the mail instead.")]
Header = Annotated[str | None, typer.Option("--header", help="add-header: the field, as 'X-Class: bulk'.")]
RateOption = Annotated[str | None, typer.Option("--rate", help="limit: the rate that counts the mail (tripost limit).")]
Comment = Annotated[str | None, typer.Option("--comment", help="A remark for operators.")]


@rule.command("list")
def list_rules(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the rules in the order in which they are gone through."""
    columns = [
        column("#", "position"),
        column("NAME", "name"),
        ("ACTION", _action),
        ("CONDITIONS", _conditions),
        column("ENABLED", "enabled"),
    ]
    rows(output, connect(context).all(RULES), columns, "No rules.")


@rule.command("add")
def add_rule(
    context: typer.Context,
    name: Name,
    action: Annotated[ControlAction, typer.Argument(help="What becomes of the mail.")],
    *,
    reverse_paths: ReversePaths = None,
    recipients: Recipients = None,
    logins: Logins = None,
    networks: Networks = None,
    helo: Helo = None,
    size_over: SizeOver = None,
    listeners: Listeners = None,
    text: Words = None,
    to: To = None,
    header: Header = None,
    rate: RateOption = None,
    comment: Comment = None,
    position: Position = None,
    before: Before = None,
    after: After = None,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a rule: mail that meets all conditions given; of several values of one, any will do."""
    given = _given(reverse_paths, recipients, logins, networks, helo, listeners)
    given |= _members(size_over, text, to, header, rate, comment)
    client = connect(context)
    add(
        output,
        f"Rule {name}",
        lambda: client.post(RULES, {"name": name, "action": action.value} | place(position, before, after) | given),
        lambda: client.find(f"{RULES}/{path(name)}"),
        if_missing=if_missing,
    )


@rule.command("show")
def show_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Show a rule."""
    facts(output, connect(context).get(f"{RULES}/{path(name)}"))


@rule.command("set")
def set_rule(
    context: typer.Context,
    name: Name,
    *,
    reverse_paths: ReversePaths = None,
    recipients: Recipients = None,
    logins: Logins = None,
    networks: Networks = None,
    helo: Helo = None,
    size_over: SizeOver = None,
    listeners: Listeners = None,
    text: Words = None,
    to: To = None,
    header: Header = None,
    rate: RateOption = None,
    comment: Comment = None,
    action: Annotated[ControlAction | None, typer.Option("--action", help="What becomes of the mail.")] = None,
    output: Output = Form.TABLE,
) -> None:
    """Change parts of a rule; a condition that is given replaces all of its values ('' for none)."""
    given = _given(reverse_paths, recipients, logins, networks, helo, listeners)
    given |= _members(size_over, text, to, header, rate, comment)
    if action is not None:
        given["action"] = action.value
    if not given:
        raise CommandFailed("Nothing to change; --help lists what there is.", ExitCode.USAGE)
    _change(context, name, given, f"Rule {name} changed.", output)


@rule.command("move")
def move_rule(
    context: typer.Context,
    name: Name,
    position: Position = None,
    before: Before = None,
    after: After = None,
    output: Output = Form.TABLE,
) -> None:
    """Put a rule in another place."""
    move(context, RULES, name, place(position, before, after), what="Rule", form=output)


@rule.command("enable")
def enable_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Let a rule act again."""
    _change(context, name, {"enabled": True}, f"Rule {name} enabled.", output)


@rule.command("disable")
def disable_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Let a rule rest in its place."""
    _change(context, name, {"enabled": False}, f"Rule {name} disabled.", output)


@rule.command("remove")
def remove_rule(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Remove a rule."""
    connect(context).delete(f"{RULES}/{path(name)}")
    done(output, f"Rule {name} removed.", {"removed": name})


def _change(context: typer.Context, name: str, patch: dict[str, Any], sentence: str, output: Form) -> None:
    done(output, sentence, connect(context).patch(f"{RULES}/{path(name)}", patch))


def _given(*lists: list[str] | None) -> dict[str, Any]:
    """Give the conditions that were named; `''` empties one."""
    names = ("reverse_paths", "recipients", "logins", "networks", "helo", "listeners")
    return {
        name: [value for value in values if value]
        for name, values in zip(names, lists, strict=True)
        if values is not None
    }


def _members(
    size_over: int | None, text: str | None, to: str | None, header: str | None, rate: str | None, comment: str | None
) -> dict[str, Any]:
    members: dict[str, Any] = {"size_over_octets": size_over, "text": text, "to": to, "rate": rate, "comment": comment}
    if header is not None:
        field, colon, value = header.partition(":")
        if not colon:
            raise CommandFailed(f"--header: {header!r} has no colon; accepted is 'X-Class: bulk'.", ExitCode.USAGE)
        members |= {"header_name": field.strip(), "header_value": value.strip()}
    return {name: value for name, value in members.items() if value is not None}


def _action(item: dict[str, Any]) -> str:
    words = [item[name] for name in OF_ACTIONS if item[name]]
    return " ".join([item["action"], *words])


def _conditions(item: dict[str, Any]) -> str:
    said = [f"{name.replace('_', ' ')}: {cell(item[name])}" for name in CONDITIONS if item[name] not in ([], None)]
    return "; ".join(said) or "all mail"
