"""`tripost limit`: rates of messages and recipients, and how much of them is used up."""

from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.adding import IfMissing, add
from tripost_admin_api.cli.client import Client, connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, cell, column, done, facts, line, note, rows, structured, table
from tripost_shared.contracts.control import RateScope

limit = typer.Typer(
    help="Rates: how much mail may pass in a minute, an hour, a day (edge's other limits: edge-limit).",
    no_args_is_help=True,
)

WINDOWS: Final = ("minute", "hour", "day")
IN_WORDS: Final = MappingProxyType({"minute": "in a minute", "hour": "in an hour", "day": "in a day"})
SECONDS: Final = MappingProxyType({"d": 86_400, "h": 3600, "m": 60, "s": 1})
TRIES: Final = 3  # others may change the rates at the same moment

Name = Annotated[str, typer.Argument(help="The rate's name, such as submitters.")]
Messages = Annotated[
    list[str] | None, typer.Option("--messages", help="Most messages, such as 100/hour; none/hour takes it away.")
]
Recipients = Annotated[
    list[str] | None, typer.Option("--recipients", help="Most recipients, such as 1000/day; none/day takes it away.")
]
OnlyByRule = Annotated[
    bool | None, typer.Option("--only-by-rule/--all-mail", help="Count what a rule names it for, or all mail.")
]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it counts.")]
Comment = Annotated[str | None, typer.Option("--comment", help="A remark for operators.")]
ForKey = Annotated[str, typer.Option("--for", help="One login, client or domain alone, which has this instead.")]


@limit.command("list")
def list_limits(
    context: typer.Context,
    nearest: Annotated[int, typer.Option("--nearest", min=0, max=1000, help="How many keys to show.")] = 10,
    output: Output = Form.TABLE,
) -> None:
    """List the rates, and the keys that are nearest to a limit."""
    client = connect(context)
    rates = list(client.all("rates"))
    usage = _nearest(client, nearest)
    if output is not Form.TABLE:
        structured(output, {"rates": rates, "nearest": usage})
        return
    if not rates:
        note("No rates: as much may pass as comes.")
        return
    table(
        rates,
        [
            column("RATE", "name"),
            column("PER", "per"),
            ("MESSAGES", _amounts("messages")),
            ("RECIPIENTS", _amounts("recipients")),
            ("FOR", _whom),
            ("OVERRIDES", _overrides),
        ],
    )
    if usage:
        line("")
        _used(usage)


@limit.command("show")
def show_limit(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(help="Whose: login:user@local.test, client:192.0.2.7, sender-domain:local.test; or a rate.")
    ],
    output: Output = Form.TABLE,
) -> None:
    """Show all limits that a key may meet, what is used, and when one more passes; or show a rate."""
    client = connect(context)
    if ":" not in key:
        facts(output, client.get(path("rates", key)))
        return
    usage = client.get("rates/usage", key=key, limit=1000)["items"]
    if output is not Form.TABLE:
        structured(output, usage)
    elif usage:
        _used(usage)
    else:
        note(f"No rate limits {key}.")


@limit.command("add")
def add_limit(
    context: typer.Context,
    name: Name,
    *,
    per: Annotated[RateScope, typer.Option("--per", help="Whose mail is counted together.")],
    messages: Messages = None,
    recipients: Recipients = None,
    only_by_rule: OnlyByRule = None,
    comment: Comment = None,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a rate."""
    client = connect(context)
    body: dict[str, Any] = {
        "name": name,
        "per": per.value,
        "messages": _read(messages),
        "recipients": _read(recipients),
    }
    body |= {"only_by_rule": bool(only_by_rule), "comment": comment or ""}
    add(
        output,
        f"Rate {name}",
        lambda: client.post("rates", body),
        lambda: client.find(path("rates", name)),
        if_missing=if_missing,
    )


@limit.command("set")
def set_limit(
    context: typer.Context,
    name: Name,
    *,
    messages: Messages = None,
    recipients: Recipients = None,
    only_by_rule: OnlyByRule = None,
    enabled: Enabled = None,
    comment: Comment = None,
    key: ForKey = "",
    output: Output = Form.TABLE,
) -> None:
    """Change parts of a rate, or with --for what one key has instead of it."""
    amounts = {"messages": _read(messages), "recipients": _read(recipients)}
    given: dict[str, Any] = {kind: windows for kind, windows in amounts.items() if windows}
    others = {"only_by_rule": only_by_rule, "enabled": enabled, "comment": comment}
    others = {member: value for member, value in others.items() if value is not None}
    if key and (others or not given):
        raise CommandFailed("--for goes with --messages and --recipients.", ExitCode.USAGE)
    if not given and not others:
        raise CommandFailed("Nothing to change; --help lists what there is.", ExitCode.USAGE)
    client = connect(context)
    if key:
        done(output, f"Rate {name} changed for {key}.", _override(client, name, key, given))
    else:
        done(output, f"Rate {name} changed.", client.patch(path("rates", name), given | others))


@limit.command("remove")
def remove_limit(context: typer.Context, name: Name, key: ForKey = "", output: Output = Form.TABLE) -> None:
    """Remove a rate; with --for what one key has instead of it."""
    client = connect(context)
    if key:
        _override(client, name, key, None)
        done(output, f"Rate {name} holds for {key} as for all others.", {"removed": key})
    else:
        client.delete(path("rates", name))
        done(output, f"Rate {name} removed.", {"removed": name})


def _nearest(client: Client, count: int) -> list[dict[str, Any]]:
    """Give the keys that are nearest to a limit; none, which is said, while the counts cannot be read."""
    try:
        usage: list[dict[str, Any]] = client.get("rates/usage", limit=count)["items"] if count else []
    except CommandFailed as failure:
        if failure.code is not ExitCode.UNREACHABLE:
            raise
        note(str(failure))
        return []
    return usage


def _override(client: Client, name: str, key: str, given: dict[str, Any] | None) -> dict[str, Any]:
    """Change, or with None remove, what one key has; from the start again when someone else was faster."""
    where = path("rates", name)
    for tries in range(1, TRIES + 1):
        answer = client.ask("GET", where)
        rate = client.read(answer)
        known = {override["key"]: override for override in rate["overrides"]}
        stored = next((each for each in (key, key.lower(), f"{key}/32", f"{key}/128") if each in known), key)
        if given is None:
            if stored not in known:
                raise CommandFailed(f"Rate {name} has nothing for {key} alone.", ExitCode.NOT_FOUND)
            del known[stored]
        else:
            known[stored] = _with(known.get(stored, {"key": key}), given)
        try:
            patch = {"overrides": list(known.values())}
            changed: dict[str, Any] = client.patch(where, patch, {"If-Match": answer.headers["etag"]})
        except CommandFailed as failure:
            if failure.code is not ExitCode.CONFLICT or tries == TRIES:
                raise
        else:
            return changed
    raise AssertionError("the loop returns or raises")


def _with(override: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return override | {kind: (override.get(kind) or {}) | windows for kind, windows in given.items()}


def _read(texts: list[str] | None) -> dict[str, int | None]:
    """Read `100/hour`; `none/hour` is no limit. Raises CommandFailed."""
    read: dict[str, int | None] = {}
    for text in texts or []:
        amount, _, window = text.partition("/")
        if window not in WINDOWS or not (amount == "none" or (amount.isascii() and amount.isdecimal())):
            raise CommandFailed(
                f"{text!r} is no limit; accepted is one like 100/hour, 10/minute, none/day.", ExitCode.USAGE
            )
        read[window] = None if amount == "none" else int(amount)
    return read


def _used(usage: list[dict[str, Any]]) -> None:
    rows(
        Form.TABLE,
        usage,
        [
            column("KEY", "key"),
            column("RATE", "rate"),
            ("USED", lambda item: f"{item['used']} of {item['limit']} {item['counts']} {IN_WORDS[item['window']]}"),
            ("SHARE", lambda item: f"{item['used_share']:.0%}"),
            ("ONE MORE PASSES", lambda item: _in_words(item["frees_in_seconds"])),
        ],
        "",
    )


def _in_words(seconds: int) -> str:
    """Say `in 1h 5m`; two units are enough."""
    words = []
    for unit, length in SECONDS.items():
        count, seconds = divmod(seconds, length)
        if count:
            words.append(f"{count}{unit}")
    return f"in {' '.join(words[:2])}" if words else "now"


def _amounts(kind: str) -> Any:
    def shown(item: dict[str, Any]) -> str:
        return ", ".join(f"{item[kind][window]}/{window}" for window in WINDOWS if item[kind][window] is not None)

    return shown


def _whom(item: dict[str, Any]) -> str:
    if not item["enabled"]:
        return "nobody (disabled)"
    return "what rules name" if item["only_by_rule"] else "all mail"


def _overrides(item: dict[str, Any]) -> str:
    return cell([override["key"] for override in item["overrides"]])
