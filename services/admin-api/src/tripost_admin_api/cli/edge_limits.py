"""`tripost edge-limit`: edge's limits for all listeners."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.client import connect
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, column, done, rows, structured

edge_limit = typer.Typer(
    help="Edge's limits of sessions and messages, in force at once on all edges (rates: limit).", no_args_is_help=True
)

WORDS: Final = (("ge", "from {}"), ("gt", "over {}"), ("le", "to {}"), ("lt", "under {}"))  # by a bound's one member
Given = Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Such as errors_per_session=10.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Such as errors_per_session.")]


@edge_limit.command("show")
def show_limits(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Show the limits: what is set here, and what each edge has by default unless its settings say otherwise."""
    present: dict[str, Any] = connect(context).get("limits")
    if output is not Form.TABLE:
        structured(output, present)
        return
    items = [_about(name, value) for name, value in present.items()]
    columns = [
        column("LIMIT", "name"),
        column("SET", "value"),
        column("DEFAULT", "default"),
        column("ACCEPTED", "accepted"),
        column("PER LISTENER", "per_listener"),
        column("WHAT", "what"),
    ]
    rows(output, items, columns, "No limits.")


@edge_limit.command("set")
def set_limits(context: typer.Context, given: Given, output: Output = Form.TABLE) -> None:
    """Set limits for all listeners, in sessions that are open too."""
    done(output, "Limits set.", connect(context).patch("limits", values(given)))


@edge_limit.command("reset")
def reset_limits(context: typer.Context, names: Names, output: Output = Form.TABLE) -> None:
    """Let limits have the defaults again that each edge's settings say."""
    done(output, "Limits reset.", connect(context).patch("limits", dict.fromkeys(names)))


def values(given: Iterable[str]) -> dict[str, int | float]:
    """Read NAME=VALUE; raises CommandFailed."""
    return dict(map(_value, given))


def _value(text: str) -> tuple[str, int | float]:
    name, _, value = text.partition("=")
    try:
        return name, int(value) if value.strip().lstrip("+-").isdigit() else float(value)
    except ValueError:
        raise CommandFailed(f"{text!r} is not NAME=VALUE, such as errors_per_session=10.", ExitCode.USAGE) from None


def _about(name: str, value: object) -> dict[str, Any]:
    """Describe a limit; a newer API may have some that are not known here."""
    from tripost_shared.edge_limits import EdgeLimits, SessionLimits  # noqa: PLC0415 (slow to import)

    field = EdgeLimits.model_fields.get(name)
    bounds = field.metadata if field is not None else []
    accepted = [words.format(getattr(bound, name)) for bound in bounds for name, words in WORDS if hasattr(bound, name)]
    return {
        "name": name,
        "value": value,
        "default": field.default if field is not None else None,
        "accepted": " ".join(accepted),
        "per_listener": name in SessionLimits.model_fields,
        "what": (field.description or "").partition(".")[0] if field is not None else "",
    }
