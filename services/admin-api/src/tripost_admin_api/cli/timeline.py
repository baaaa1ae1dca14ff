"""A trace as a time line for people; pure."""

from collections.abc import Iterator
from typing import Any, Final

from tripost_admin_api.cli.output import cell

SHOWN_EVIDENCE_CHARACTERS: Final = 300


def timeline(trace: dict[str, Any]) -> Iterator[str]:
    """Give the lines: the message, then each fact with its findings, then what is linked to it."""
    yield f"{trace['id']}  {trace['status']}"
    for name, value in _summary(trace):
        yield f"  {name:<10}{cell(value)}"
    yield ""
    for fact in trace["events"]:
        yield from _fact(fact, trace["id"])
    if trace["truncated"]:
        yield "  … and more; -o json has no more either"
    if trace["session_messages"]:
        yield ""
        yield f"  the same session: {', '.join(trace['session_messages'])}"
    for related in trace["related"]:
        status = related["status"] or "nothing known"
        what = "bounce" if related["relation"] == "bounce" else "about"
        yield ""
        yield f"  {what}: {related['id']} ({status})"


def _summary(trace: dict[str, Any]) -> Iterator[tuple[str, object]]:
    if trace["reverse_path"] is not None:
        yield "from", trace["reverse_path"] or "<>"
    if trace["recipients"]:
        yield "to", trace["recipients"]
    for name in ("subject", "direction", "client", "login"):
        if trace[name]:
            yield name, trace[name]
    if trace["size_octets"]:
        yield "size", f"{trace['size_octets']} octets"


def _fact(fact: dict[str, Any], identifier: str) -> Iterator[str]:
    stage = f"{fact['service']}/{fact['stage']}" if fact["stage"] else fact["service"]
    subject = " → ".join(part for part in (fact["recipient"], fact["next_hop"]) if part)
    words = [f"{fact['fact']:<10}", f"{stage:<18}", subject]
    if fact["message_id"] != identifier:
        words.append(f"[{fact['message_id']}]")
    yield "  " + " ".join([_time(fact["at"]), *(cell(word) if word.strip() else "" for word in words)]).rstrip()
    tried = f"user name: {fact['tried_login']}" if fact["tried_login"] else ""
    for text in (fact["reply"], fact["detail"], tried, _verdict(fact)):
        if text:
            yield f"{'':<28}{cell(text)}"
    for finding in fact["findings"]:
        yield from _finding(finding)


def _verdict(fact: dict[str, Any]) -> str:
    """Say what the filter decided, by which rule, and what it would have decided outside of monitor mode."""
    if not fact["action"]:
        return ""
    rule = f" by {fact['rule']}" if fact["rule"] else ""
    held_back = f"; monitor mode held back: {fact['intended']}" if fact["intended"] else ""
    return f"verdict: {fact['action']}{rule}, score {fact['score']:+.1f}{held_back}"


def _finding(finding: dict[str, Any]) -> Iterator[str]:
    words = [f"{finding['check']:<14}", f"{finding['result']:<10}", f"{finding['score']:+.1f}"]
    if finding["degraded"]:
        words.append("(could not do its work)")
    if finding["because"]:
        words.append(finding["because"])
    words.append(f"[{finding['elapsed_ms']:.1f} ms]")
    yield f"{'':<28}" + cell(" ".join(words))
    if finding["evidence"]:
        yield f"{'':<30}" + cell(finding["evidence"])[:SHOWN_EVIDENCE_CHARACTERS]


def _time(text: str) -> str:
    """Show a time to the millisecond, in UTC."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole.replace('T', ' ')}.{fraction[:3]:<03}"
