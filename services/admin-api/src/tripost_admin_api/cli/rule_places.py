"""Where a rule is to stand among others: options and steps of all lists whose order counts."""

from typing import Annotated, Any

import typer

from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, done

Position = Annotated[int | None, typer.Option("--position", min=1, help="Its place; 1 is the first.")]
Before = Annotated[str | None, typer.Option("--before", help="In front of this rule.")]
After = Annotated[str | None, typer.Option("--after", help="Behind this rule.")]


def place(position: int | None, before: str | None, after: str | None) -> dict[str, Any]:
    """Give what was said of the place, as the API wants it."""
    wanted = {"position": position, "before": before, "after": after}
    return {member: value for member, value in wanted.items() if value is not None}


def move(
    context: typer.Context, rules: str, name: str, wanted: dict[str, Any], *, what: str, form: Form
) -> dict[str, Any]:
    """Put one of the `rules` (their path) in another place; gives it as it is then. Raises CommandFailed."""
    if len(wanted) != 1:
        raise CommandFailed("Give one of --position, --before and --after.", ExitCode.USAGE)
    moved: dict[str, Any] = connect(context).post(f"{rules}/{path(name)}/move", wanted)
    done(form, f"{what} {name} is number {moved['position']} now.", moved)
    return moved
