"""`tripost message`: where is it, and why."""

from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.listing import most_shown, note_if_cut
from tripost_admin_api.cli.output import Form, Output, column, line, rows, structured, time_column
from tripost_admin_api.cli.timeline import timeline
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction
from tripost_shared.contracts.tracking import STATUS_IN_WORDS

RECENT: Final = " in the last 7 days (further back: --since)"
IN_A_TABLE: Final = 50
SHOWN_RECIPIENTS: Final = 2  # in a list; JSON, YAML and the trace have all

message = typer.Typer(help="What became of a message.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id in the reply that the client got, or the session's id.")]


@message.command("list")
def list_messages(
    context: typer.Context,
    *,
    sender: Annotated[
        str | None, typer.Option("--sender", help="The reverse-path; @domain; <> for the null one.")
    ] = None,
    recipient: Annotated[str | None, typer.Option("--recipient", help="A whole address, or @domain.")] = None,
    status: Annotated[Fact | None, typer.Option("--status", help=f"{STATUS_IN_WORDS}{RECENT}.")] = None,
    login: Annotated[
        str | None, typer.Option("--login", help="The user name of a login, also of one that failed.")
    ] = None,
    client: Annotated[str | None, typer.Option("--client", help=f"The client's IP address{RECENT}.")] = None,
    direction: Annotated[Direction | None, typer.Option("--direction", help=f"Where it goes{RECENT}.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="First seen then or later: a date, or 2026-01-31T12:00:00Z; UTC."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="First seen before; as --since.")] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"Most messages; else a table has {IN_A_TABLE}, JSON and YAML have all."),
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """List messages, and refused sessions, newest first.

    What --status, --client or --direction match, or two domains, is looked for in the last 7 days, unless --since or a
    whole address or login is given.
    """
    listing = connect(context).all(
        "messages",
        most=most_shown(output, limit, IN_A_TABLE),
        sender=sender,
        recipient=recipient,
        status=status,
        login=login,
        client=client,
        direction=direction,
        since=since,
        until=until,
    )
    columns = [
        column("ID", "id"),
        time_column("TIME (UTC)", "first_at"),
        column("STATUS", "status"),
        ("SENDER", lambda item: "<>" if item["reverse_path"] == "" else item["reverse_path"]),
        ("RECIPIENTS", first_recipients),
        column("CLIENT", "client"),
        column("SUBJECT", "subject"),
    ]
    is_walk = bool(status or client or direction or (sender and recipient))
    is_recent = is_walk and since is None and not (login or any(map(is_whole, (sender, recipient))))
    rows(output, listing, columns, f"No such messages{RECENT if is_recent else ''}.")
    note_if_cut(listing, "messages")


def is_whole(address: str | None) -> bool:
    """Tell whether it is an address that leads to its messages by itself: no domain, nor the null reverse-path."""
    return bool(address) and not str(address).strip().startswith(("@", "<"))


def first_recipients(item: dict[str, Any]) -> list[str]:
    """Give the first recipients, and how many more there are: `+97`; `+97…` when there may be more than are known."""
    shown, further = item["recipients"][:SHOWN_RECIPIENTS], item["recipients"][SHOWN_RECIPIENTS:]
    rest = (f"+{len(further)}" if further else "") + ("…" if item["recipients_truncated"] else "")
    return [*shown, rest] if rest else shown


@message.command("trace")
def trace_message(context: typer.Context, message_id: Id, output: Output = Form.TABLE) -> None:
    """Show every stage of a message: verdicts, findings, replies."""
    trace = connect(context).get(path("messages", message_id))
    if output is not Form.TABLE:
        structured(output, trace)
        return
    for text in timeline(trace):
        line(text)


message.command("show", help="The same as trace.")(trace_message)
