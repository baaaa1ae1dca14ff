"""Lists on the command line: whole for programs, and never cut off without a word."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from admin_service import CliResult, invoke
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.listing import LARGEST_PAGE, Listing
from tripost_admin_api.cli.output import Form, as_json, as_yaml, structured_list

DELIVERY = {
    "recipient": "bob@b.example",
    "state": "held",
    "next_hop": "b.example",
    "attempts": 1,
    "next_attempt_at": "2026-01-31T12:00:00Z",
    "last_reply": "451 4.0.0 Later",
}
MEMBERS = {
    "received_at": "2026-01-31T12:00:00Z",
    "reverse_path": "",
    "deliveries_total": 1,
    "deliveries": [DELIVERY],
    "first_at": "2026-01-31T12:00:00Z",
    "status": "deferred",
    "recipients": [],
    "recipients_truncated": False,
    "client": "",
    "subject": "",
}


class Messages:
    """An API that has so many messages, and may go away before a page."""

    def __init__(self, count: int, away_at_page: int = 0) -> None:
        self._count = count
        self._away_at_page = away_at_page
        self.pages = 0

    def get(self, _where: str, limit: int, cursor: str, **_query: Any) -> dict[str, Any]:
        self.pages += 1
        if self.pages == self._away_at_page:
            raise CommandFailed("No answer from https://127.0.0.1:8443.", ExitCode.UNREACHABLE)
        begin = int(cursor or 0)
        end = min(begin + limit, self._count)
        items = [{"id": f"1k3v9q2m8f0abcde.{number}", **MEMBERS} for number in range(begin, end)]
        return {"items": items, "next_cursor": str(end) if end < self._count else None}

    def all(self, where: str, most: int | None = None, **query: Any) -> Listing:
        return Listing(self.get, where, most, **query)


Run = Callable[..., CliResult]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def with_messages(messages: Messages, *arguments: str) -> CliResult:
        for module in ("queue", "messages"):
            monkeypatch.setattr(f"tripost_admin_api.cli.{module}.connect", lambda _context: messages)
        return invoke(*arguments)

    return with_messages


@pytest.mark.parametrize("noun", ["queue", "message"])
@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_every_message(run: Run, noun: str, form: str, read: Callable[[str], Any]) -> None:
    listed = run(Messages(2 * LARGEST_PAGE + 1), noun, "list", "-o", form)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert len({item["id"] for item in read(listed.stdout)}) == 2 * LARGEST_PAGE + 1


@pytest.mark.parametrize(("noun", "shown"), [("queue", 1000), ("message", 50)])
def test_a_table_says_when_there_is_more(run: Run, noun: str, shown: int) -> None:
    listed = run(Messages(shown + 1), noun, "list")
    assert listed.stdout.count("1k3v9q2m8f0abcde.") == shown
    assert listed.stderr == (
        f"There are more than these {shown} messages: --limit shows more; -o json and -o yaml without it, all.\n"
    )
    whole = run(Messages(shown), noun, "list")
    assert (whole.stdout.count("1k3v9q2m8f0abcde."), whole.stderr) == (shown, "")


@pytest.mark.parametrize("noun", ["queue", "message"])
def test_a_limit_holds_for_every_form_and_says_when_there_is_more(run: Run, noun: str) -> None:
    messages = Messages(LARGEST_PAGE + 3)
    listed = run(messages, noun, "list", "--limit", str(LARGEST_PAGE + 1), "-o", "json")
    assert len(listed.json()) == LARGEST_PAGE + 1
    assert "more than these 501 messages" in listed.stderr
    assert messages.pages == 2
    assert run(Messages(2), noun, "list", "--limit", "2", "-o", "json").stderr == ""


def test_a_long_list_is_printed_as_it_is_read_and_has_no_end_when_that_fails(run: Run) -> None:
    listed = run(Messages(2 * LARGEST_PAGE, away_at_page=2), "queue", "list", "-o", "json")
    assert listed.returncode == ExitCode.UNREACHABLE
    assert listed.stdout.count('"id"') == LARGEST_PAGE
    assert len(json.loads(listed.stdout + "]")) == LARGEST_PAGE
    at_once = run(Messages(1, away_at_page=1), "queue", "list", "-o", "json")
    assert (at_once.returncode, at_once.stdout) == (ExitCode.UNREACHABLE, "")


@pytest.mark.parametrize("items", [[], [{"a": [1, {"b": "two\nlines\u2028"}], "c": {}}], [{"a": 1}, {"a": []}, {}]])
@pytest.mark.parametrize(("form", "write"), [(Form.JSON, as_json), (Form.YAML, as_yaml)])
def test_a_list_looks_the_same_however_it_is_printed(
    capsys: pytest.CaptureFixture[str], items: list[Any], form: Form, write: Callable[[Any], str]
) -> None:
    structured_list(form, iter(items))
    assert capsys.readouterr().out == write(items) + "\n"
