"""`tripost status`: how the cluster does."""

from typing import Any

import typer

from tripost_admin_api.cli.client import connect
from tripost_admin_api.cli.failure import CommandFailed
from tripost_admin_api.cli.output import Form, Output, column, line, moment, structured, table, time_column
from tripost_shared.contracts.queue import DeliveryState


def status(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Show what is wrong, all instances, spool and queue; exit code 1 when something is wrong."""
    answer = connect(context).get("status")
    if output is not Form.TABLE:
        structured(output, answer)
    else:
        _show(answer)
    if answer["problems"]:
        raise CommandFailed(f"Something is wrong: {' '.join(answer['problems'])}")


def _counts(queue: dict[str, Any] | None) -> str:
    if queue is None:  # the database is away
        return "unknown"
    oldest = f", oldest of {moment(queue['oldest_received_at'])} UTC" if queue["oldest_received_at"] else ""
    counts = [f"{queue[state]} {state}" for state in DeliveryState]
    return f"{queue['messages']} messages ({', '.join(counts)}){oldest}"


def _show(answer: dict[str, Any]) -> None:
    queue, spool, count = answer["queue"], answer["spool"], len(answer["problems"])
    plural = "S" if count > 1 else ""
    line(f"health        {f'{count} PROBLEM{plural}' if count else 'all is well'}")
    for problem in answer["problems"]:
        line(f"              {problem}")
    line(f"queue         {_counts(queue)}")
    if spool is not None:
        streams = f"{spool['octets']} octets in {spool['partitions']} partitions"
        line(f"spool         {spool['waiting']} waiting, {spool['attempted']} attempted, {streams}")
    line(f"database      {answer['database']}")
    line(f"NATS          {'connected' if answer['nats_connected'] else 'NOT CONNECTED'}")
    revision = "unknown" if answer["revision"] is None else answer["revision"]
    line(f"configuration revision {revision}, published {answer['published_revision']}")
    if answer["nodes"]:
        columns = [
            column("SERVICE", "service"),
            column("INSTANCE", "instance"),
            ("READY", lambda node: "yes" if node["ready"] else "NO"),
            column("VERSION", "version"),
            time_column("SINCE (UTC)", "started_at"),
            column("DETAILS", "details"),
        ]
        line("")
        table(answer["nodes"], columns)
