"""`tripost ban`."""

import re
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import (
    Form,
    Output,
    cell,
    column,
    done,
    facts,
    line,
    moment,
    rows,
    structured,
    time_column,
)

ban = typer.Typer(help="Networks whose clients are turned away for a while.", no_args_is_help=True)

UNITS: Final = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86_400})
TRIGGERS: Final = ("authentication", "protocol", "unknown_recipients", "early_talkers")
Network = Annotated[str, typer.Argument(help="An address or a network, such as 192.0.2.7 or 2001:db8::/64.")]


def _seconds(text: str | None) -> int | None:
    """Read `90s`, `30m`, `12h`, `7d`, or bare seconds."""
    if text is None:
        return None
    read = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if read is None:
        raise typer.BadParameter(f"{text!r} is no duration; accepted is one like 90s, 30m, 12h or 7d")
    return int(read[1]) * UNITS[read[2] or "s"]


def _seconds_given(text: str | None) -> str | None:
    seconds = _seconds(text)
    return None if seconds is None else str(seconds)


@ban.command("list")
def list_bans(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the bans in force."""
    columns = [
        column("NETWORK", "network"),
        column("REASON", "reason"),
        column("BY", "by"),
        time_column("SINCE (UTC)", "since"),
        time_column("UNTIL (UTC)", "until"),
    ]
    rows(output, connect(context).all("bans"), columns, "Nobody is banned.")


@ban.command("add")
def add_ban(
    context: typer.Context,
    network: Network,
    duration: Annotated[
        str, typer.Option("--for", help="How long: 90s, 30m, 12h, 7d.", callback=_seconds_given)
    ] = "1h",
    reason: Annotated[str, typer.Option("--reason", help="Told to the client, after 'because of'.")] = "abuse",
    output: Output = Form.TABLE,
) -> None:
    """Ban a network, on all edges at once; replaces a ban of it."""
    body = {"network": network, "reason": reason, "duration_seconds": int(duration)}
    added = connect(context).post("bans", body)
    done(output, f"{added['network']} is banned until {moment(added['until'])} UTC.", added)


@ban.command("show")
def show_ban(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
    """Show the ban of exactly this network."""
    facts(output, connect(context).get(path("bans", network)))


@ban.command("lift")
def lift_ban(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
    """Lift a ban, on all edges at once."""
    connect(context).delete(path("bans", network))
    done(output, f"The ban of {network} is lifted.", {"lifted": network})


@ban.command("policy")
def ban_policy(
    context: typer.Context,
    trigger: Annotated[
        str, typer.Argument(help=f"What to change: {', '.join(TRIGGERS)}, or all for all of them. Nothing: show all.")
    ] = "",
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it bans.")] = None,
    threshold: Annotated[int | None, typer.Option("--threshold", help="How many ban.")] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="Within how long: 10m, 1h.", callback=_seconds_given)
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", help="How long the first ban takes.", callback=_seconds_given)
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Show or change what bans by itself."""
    given = {
        "enabled": enabled,
        "threshold": threshold,
        "window_seconds": None if window is None else int(window),
        "duration_seconds": None if duration is None else int(duration),
    }
    patch = _patch(trigger, {name: value for name, value in given.items() if value is not None})
    client = connect(context)
    if not patch:
        _show(output, client.get("bans/policy"))
        return
    done(output, "The policy of bans is changed.", client.patch("bans/policy", patch))


def _patch(trigger: str, given: dict[str, Any]) -> dict[str, Any]:
    if trigger == "all":
        if given.keys() - {"enabled"}:
            raise CommandFailed("all takes --enable or --disable only; the rest is each trigger's own.", ExitCode.USAGE)
        return given
    name = trigger.replace("-", "_")
    if bool(name) != bool(given) or (name and name not in TRIGGERS):
        raise CommandFailed(f"Give one of {', '.join(TRIGGERS)} or all, and what to change of it.", ExitCode.USAGE)
    return {name: given} if name else {}


def _show(form: Form, present: dict[str, Any]) -> None:
    if form is not Form.TABLE:
        structured(form, present)
        return
    for name, value in present.items():
        line(f"{name.replace('_', ' '):<20}{cell(value)}")
