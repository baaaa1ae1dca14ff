"""`tripost policy`: how mail is judged."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tripost_admin_api.api import names
from tripost_admin_api.cli.client import Client, connect
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, cell, column, done, line, rows, structured
from tripost_shared.contracts.config import DEFAULT_CHECKS, OnError, PolicyMode

policy = typer.Typer(help="How mail is judged.", no_args_is_help=True)
dnsbl = typer.Typer(help="DNS block lists.", no_args_is_help=True)
exempt = typer.Typer(help="Networks that block lists and greylist leave alone.", no_args_is_help=True)
policy.add_typer(dnsbl, name="dnsbl")
policy.add_typer(exempt, name="exempt")

TRIES = 3  # others may change the policy at the same moment


def _score(given: float | None) -> float | None:
    try:
        return None if given is None else names.score(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Zone = Annotated[str, typer.Argument(help="Such as zen.example.")]
Network = Annotated[str, typer.Argument(help="Such as 192.0.2.0/24.")]
Score = Annotated[float | None, typer.Option("--score", callback=_score, help="What a listing adds to the score.")]
Edit = Callable[[dict[str, Any]], dict[str, Any]]


@policy.command("show")
def show_policy(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Show the policy."""
    present = connect(context).get("policy")
    if output is not Form.TABLE:
        structured(output, present)
        return
    zones, checks = present.pop("dnsbl_zones"), present.pop("checks")
    for name, value in present.items():
        line(f"{name.replace('_', ' '):<18}{cell(value)}")
    line(f"{'dnsbl zones':<18}{cell([zone['zone'] for zone in zones])}")
    for name in dict.fromkeys((*DEFAULT_CHECKS, *checks)):
        line(f"check {name:<12}{cell(checks[name]) if name in checks else 'its default policy'}")


@policy.command("mode")
def set_mode(
    context: typer.Context,
    mode: Annotated[PolicyMode, typer.Argument(help="monitor: judge and tag everything, refuse nothing.")],
    output: Output = Form.TABLE,
) -> None:
    """Let verdicts act, or only be noted."""
    changed = change(connect(context), lambda _: {"mode": mode})
    meaning = "nothing is refused or greylisted" if mode is PolicyMode.MONITOR else "verdicts act"
    done(output, f"Policy mode is {mode}: {meaning}.", changed)


@policy.command("set")
def set_values(
    context: typer.Context,
    reject_score: Annotated[
        float | None, typer.Option("--reject-score", callback=_score, help="Refuse from this score on.")
    ] = None,
    tag_score: Annotated[
        float | None, typer.Option("--tag-score", callback=_score, help="Mark as spam from this score on.")
    ] = None,
    spf_reject_fail: Annotated[
        bool | None, typer.Option("--spf-reject-fail/--no-spf-reject-fail", help="Refuse when SPF says fail.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Set thresholds."""
    given = {"reject_score": reject_score, "tag_score": tag_score, "spf_reject_fail": spf_reject_fail}
    _apply(context, output, {name: value for name, value in given.items() if value is not None})


@policy.command("greylist")
def set_greylist(
    context: typer.Context,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Defer what is seen first.")] = None,
    delay: Annotated[int | None, typer.Option("--delay", help="Seconds before a retry counts.")] = None,
    retry_window: Annotated[int | None, typer.Option("--retry-window", help="Seconds in which a retry counts.")] = None,
    remember: Annotated[int | None, typer.Option("--remember", help="Seconds for which a triplet is known.")] = None,
    output: Output = Form.TABLE,
) -> None:
    """Set the greylist."""
    given = {
        "enabled": enabled,
        "delay_seconds": delay,
        "retry_window_seconds": retry_window,
        "remember_seconds": remember,
    }
    given = {name: value for name, value in given.items() if value is not None}
    _apply(context, output, {"greylist": given} if given else {})


@policy.command("check")
def set_check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(DEFAULT_CHECKS)}.")],
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it is asked.")] = None,
    on_error: Annotated[OnError | None, typer.Option("--on-error", help="When it cannot do its work.")] = None,
    error_score: Annotated[
        float | None, typer.Option("--error-score", callback=_score, help="For --on-error score.")
    ] = None,
    budget: Annotated[int | None, typer.Option("--budget", help="Milliseconds that it may take.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Its default policy again, whatever was set.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """Set a check's failure policy; what is not given stays."""
    given = {"enabled": enabled, "on_error": on_error, "error_score": error_score, "time_budget_ms": budget}
    given = {key: value for key, value in given.items() if value is not None}
    if default and given:
        raise CommandFailed("--default goes alone: it leaves nothing to set.", ExitCode.USAGE)
    _apply(context, output, {"checks": {name: None if default else given}} if given or default else {})


@dnsbl.command("list")
def list_zones(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the block lists that are asked."""
    columns = [column("ZONE", "zone"), column("SCORE", "score"), column("REFUSES", "refuse")]
    rows(output, connect(context).get("policy")["dnsbl_zones"], columns, "No block lists are asked.")


@dnsbl.command("add")
def add_zone(
    context: typer.Context,
    zone: Zone,
    score: Score = None,
    refuse: Annotated[bool, typer.Option("--refuse/--no-refuse", help="Whether a listing alone refuses.")] = True,
    output: Output = Form.TABLE,
) -> None:
    """Ask a block list."""
    zone = _canonical(names.domain, zone)
    entry: dict[str, Any] = {"zone": zone, "refuse": refuse} | ({} if score is None else {"score": score})

    def edit(present: dict[str, Any]) -> dict[str, Any]:
        if zone in {known["zone"] for known in present["dnsbl_zones"]}:
            raise CommandFailed(f"The block list {zone} is asked already.", ExitCode.CONFLICT)
        return {"dnsbl_zones": [*present["dnsbl_zones"], entry]}

    done(output, f"Block list {zone} added.", change(connect(context), edit))


@dnsbl.command("remove")
def remove_zone(context: typer.Context, zone: Zone, output: Output = Form.TABLE) -> None:
    """Ask a block list no more."""
    zone = _canonical(names.domain, zone)

    def edit(present: dict[str, Any]) -> dict[str, Any]:
        left = [known for known in present["dnsbl_zones"] if known["zone"] != zone]
        if len(left) == len(present["dnsbl_zones"]):
            raise CommandFailed(f"The block list {zone} is not asked.", ExitCode.NOT_FOUND)
        return {"dnsbl_zones": left}

    done(output, f"Block list {zone} removed.", change(connect(context), edit))


@exempt.command("list")
def list_exempt(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the exempt networks."""
    items = [{"network": network} for network in connect(context).get("policy")["exempt_networks"]]
    rows(output, items, [column("NETWORK", "network")], "No network is exempt.")


@exempt.command("add")
def add_exempt(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
    """Exempt a network."""
    network = _canonical(names.exempt_network, network)

    def edit(present: dict[str, Any]) -> dict[str, Any]:
        if network in present["exempt_networks"]:
            raise CommandFailed(f"{network} is exempt already.", ExitCode.CONFLICT)
        return {"exempt_networks": [*present["exempt_networks"], network]}

    done(output, f"{network} is exempt.", change(connect(context), edit))


@exempt.command("remove")
def remove_exempt(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
    """Exempt a network no more."""
    network = _canonical(names.network, network)

    def edit(present: dict[str, Any]) -> dict[str, Any]:
        if network not in present["exempt_networks"]:
            raise CommandFailed(f"{network} is not exempt.", ExitCode.NOT_FOUND)
        return {"exempt_networks": [known for known in present["exempt_networks"] if known != network]}

    done(output, f"{network} is no longer exempt.", change(connect(context), edit))


def change(client: Client, edit: Edit) -> dict[str, Any]:
    """Read, edit, write; from the start again when someone else was faster. Raises CommandFailed."""
    for tries in range(1, TRIES + 1):
        answer = client.ask("GET", "policy")
        patch = edit(client.read(answer))
        try:
            changed: dict[str, Any] = client.patch("policy", patch, {"If-Match": answer.headers["etag"]})
        except CommandFailed as failure:
            if failure.code is not ExitCode.CONFLICT or tries == TRIES:
                raise
        else:
            return changed
    raise AssertionError("the loop returns or raises")


def _canonical(form: Callable[[str], str], text: str) -> str:
    """Give a name as the policy has it, so that it is found however it was typed."""
    try:
        return form(text)
    except ValueError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None


def _apply(context: typer.Context, form: Form, patch: dict[str, Any]) -> None:
    if not patch:
        raise CommandFailed("Nothing to change; --help lists what there is.", ExitCode.USAGE)
    done(form, "Policy changed.", change(connect(context), lambda _: patch))
