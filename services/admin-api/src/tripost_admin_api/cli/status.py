"""`tripost status`: how the cluster does."""

from typing import Any

import typer

from tripost_admin_api.cli.client import connect
from tripost_admin_api.cli.failure import ExitCode
from tripost_admin_api.cli.output import Form, Output, cell, column, line, moment, note, structured, table, time_column


def status(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Show all instances, spool and queue; exit code 1 when something is wrong."""
    answer = connect(context).get("status")
    if output is not Form.TABLE:
        structured(output, answer)
    else:
        _show(answer)
    for problem in answer["problems"]:
        note(problem)
    if answer["problems"]:
        raise typer.Exit(ExitCode.FAILED)


def _show(answer: dict[str, Any]) -> None:
    queue, spool = answer["queue"], answer["spool"]
    if answer["nodes"]:
        columns = [
            column("SERVICE", "service"),
            column("INSTANCE", "instance"),
            column("READY", "ready"),
            column("VERSION", "version"),
            time_column("SINCE (UTC)", "started_at"),
            column("DETAILS", "details"),
        ]
        table(answer["nodes"], columns)
        line("")
    oldest = f", oldest {moment(queue['oldest_received_at'])}" if queue["oldest_received_at"] else ""
    counts = [f"{queue[state]} {state}" for state in ("deferred", "held", "attempting")]
    line(f"queue         {queue['messages']} messages ({', '.join(counts)}){oldest}")
    if spool is not None:
        line(f"spool         {spool['messages']} messages, {spool['octets']} octets, {spool['partitions']} partitions")
    line(f"database      {answer['database']}")
    line(f"NATS          {cell(answer['nats_connected'])}")
    line(f"configuration revision {answer['revision']}, published {answer['published_revision']}")
