"""`tripost queue`: mail that waits for its next attempt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from tripost_admin_api.cli.client import Client, connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.listing import most_shown, note_if_cut
from tripost_admin_api.cli.output import (
    Form,
    Output,
    column,
    facts,
    line,
    moment,
    note,
    rows,
    structured,
    structured_list,
    table,
    time_column,
)
from tripost_shared.contracts.queue import DeliveryState

queue = typer.Typer(help="Mail that waits for its next attempt.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(help="Message ids, as `tripost queue list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All messages in the queue.")]
Recipients = Annotated[list[str] | None, typer.Option("--recipient", help="This recipient only; may be repeated.")]

IN_A_TABLE = 1000
DROP = "drop"  # never all at once: the senders are not told
PASSED_OVER = frozenset({ExitCode.NOT_FOUND, ExitCode.CONFLICT})  # gone meanwhile, or in another state
HOPELESS = frozenset({ExitCode.UNREACHABLE, ExitCode.NOT_AUTHORISED})  # what every message would meet
DELIVERY_COLUMNS = [
    column("RECIPIENT", "recipient"),
    column("STATE", "state"),
    column("NEXT HOP", "next_hop"),
    column("TRIES", "attempts"),
    (
        "NEXT TRY (UTC)",
        lambda item: moment(item["next_attempt_at"]) if item["state"] == DeliveryState.DEFERRED else "-",
    ),
    column("LAST REPLY", "last_reply"),
]


@queue.command("list")
def list_queue(
    context: typer.Context,
    state: Annotated[DeliveryState | None, typer.Option("--state", help="Where its delivery is.")] = None,
    sender: Annotated[
        str | None, typer.Option("--sender", help="The reverse-path; @domain; <> for the null one.")
    ] = None,
    recipient: Annotated[str | None, typer.Option("--recipient", help="An address, or @domain.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="A recipient's domain.")] = None,
    next_hop: Annotated[str | None, typer.Option("--next-hop", help="As shown in the list.")] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"Most messages; else a table has {IN_A_TABLE}, JSON and YAML have all."),
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """List queued messages by the time at which they were received, oldest first."""
    wanted = {"state": state, "sender": sender, "recipient": recipient, "domain": domain, "next_hop": next_hop}
    listing = connect(context).all("queue/messages", most=most_shown(output, limit, IN_A_TABLE), **wanted)
    if output is Form.TABLE:
        is_whole = all(value is None for value in wanted.values())
        _show(list(listing), "The queue is empty." if is_whole else "No such messages in the queue.")
    else:
        structured_list(output, listing)
    note_if_cut(listing, "messages")


def _show(messages: Sequence[dict[str, Any]], nothing: str) -> None:
    """Print a line for each delivery."""
    deliveries = [{**message, **delivery} for message in messages for delivery in message["deliveries"]]
    columns = [
        column("ID", "id"),
        time_column("RECEIVED (UTC)", "received_at"),
        ("SENDER", lambda item: item["reverse_path"] or "<>"),
        *DELIVERY_COLUMNS,
    ]
    rows(Form.TABLE, deliveries, columns, nothing)
    for message in messages:
        hidden = message["deliveries_total"] - len(message["deliveries"])
        if hidden:
            note(f"{message['id']} has {hidden} more recipients: tripost queue show {message['id']}")


@queue.command("show")
def show_message(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message's id.")],
    output: Output = Form.TABLE,
) -> None:
    """Show a queued message with its recipients."""
    message = connect(context).get(path("queue", "messages", message_id))
    if output is not Form.TABLE:
        structured(output, message)
        return
    deliveries = message.pop("deliveries")
    facts(output, message)
    line("")
    table(deliveries, DELIVERY_COLUMNS)
    hidden = message["deliveries_total"] - len(deliveries)
    if hidden:
        note(f"There are {hidden} more recipients: tripost queue list --recipient finds one of them.")


def _operation(operation: str, help_text: str, participle: str) -> None:
    """Add a command that does one thing to messages, or to all of them."""

    @queue.command(operation, help=help_text)
    def run(
        context: typer.Context,
        ids: Ids = None,
        every: All = False,
        recipients: Recipients = None,
        output: Output = Form.TABLE,
    ) -> None:
        _operate(context, operation, participle, ids, recipients, output, every=every)


_operation("retry", "Try again now.", "to be tried now")
_operation("hold", "Hold: make no attempt until it is released.", "held")
_operation("release", "Release what is held, and try it now; its time to expire begins anew.", "released")


@queue.command(DROP)
def drop(
    context: typer.Context,
    ids: Ids = None,
    recipients: Recipients = None,
    output: Output = Form.TABLE,
) -> None:
    """Remove for good; the sender is not told."""
    _operate(context, DROP, "dropped", ids, recipients, output, every=False)


def _operate(
    context: typer.Context,
    operation: str,
    participle: str,
    ids: Sequence[str] | None,
    recipients: Sequence[str] | None,
    form: Form,
    *,
    every: bool,
) -> None:
    if bool(ids) == every:
        or_all = "" if operation == DROP else ", or all by --all"
        raise CommandFailed(f"Name messages by their ids{or_all}; tripost queue list shows them.", ExitCode.USAGE)
    client = connect(context)
    wanted = ids or [message["id"] for message in client.all("queue/messages")]
    work = _Work(operation, tuple(recipients or ()), passes_over=PASSED_OVER if every else frozenset())
    try:
        work.do(client, tuple(dict.fromkeys(wanted)))
    finally:  # also when it is broken off: what was done is told
        if work.outcomes:
            _tell(work.outcomes, participle, form)
    if work.failures:
        raise work.failure()
    if not work.outcomes:
        rows(form, [], [], "Nothing in the queue to do that with.")


def _tell(outcomes: Sequence[dict[str, Any]], participle: str, form: Form) -> None:
    if form is not Form.TABLE:
        structured(form, outcomes)
        return
    for outcome in outcomes:
        line(f"{outcome['id']}: {', '.join(outcome['changed'])} {participle}.")
        for skipped in outcome["skipped"]:
            note(f"{outcome['id']}: {skipped['recipient']} {skipped['because']}")


@dataclass
class _Work:
    """One operation on many messages. `passes_over`: what is no failure of a message that nobody has named."""

    operation: str
    recipients: tuple[str, ...]
    passes_over: frozenset[ExitCode]
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    failures: list[CommandFailed] = field(default_factory=list)

    def do(self, client: Client, identifiers: Sequence[str]) -> None:
        """Do it to each, whatever becomes of the others; none is tried any more once no other can go better."""
        for place, identifier in enumerate(identifiers, 1):
            try:
                self.outcomes.append(self._one(client, identifier))
            except CommandFailed as failure:
                if failure.code in self.passes_over:
                    continue
                left = len(identifiers) - place if failure.code in HOPELESS else 0
                not_tried = f" Not tried: {left} more." if left else ""
                where = f"{identifier}: " if len(identifiers) > 1 else ""
                self.failures.append(CommandFailed(f"{where}{failure}{not_tried}", failure.code))
                if left:
                    return

    def failure(self) -> CommandFailed:
        """Tell of all failures but the last, which is given, with the code of the first."""
        *earlier, last = self.failures
        for failure in earlier:
            note(f"tripost: {failure}")
        return CommandFailed(str(last), self.failures[0].code)

    def _one(self, client: Client, identifier: str) -> dict[str, Any]:
        body = {"recipients": list(self.recipients)} if self.recipients else {}
        outcome: dict[str, Any] = client.post(path("queue", "messages", identifier, self.operation), body)
        return outcome
