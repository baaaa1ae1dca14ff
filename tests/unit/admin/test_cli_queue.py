"""One operation on many queued messages: each is tried, and told of, whatever becomes of the others."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from admin_service import CliResult, invoke
from tripost_admin_api.cli.failure import CommandFailed, ExitCode

A, B, C = (f"1k3v9q2m8f0abcde.{number}" for number in (1, 2, 3))


class Queue:
    """The API's client, with an answer for each message: recipients that were changed, or what is raised."""

    def __init__(self, answers: dict[str, list[str] | BaseException]) -> None:
        self.answers = answers
        self.tried: list[str] = []
        self.bodies: list[Any] = []

    def all(self, _where: str) -> list[dict[str, Any]]:
        return [{"id": identifier} for identifier in self.answers]

    def post(self, where: str, body: Any) -> dict[str, Any]:
        identifier = where.split("/")[2]
        self.tried.append(identifier)
        self.bodies.append(body)
        answer = self.answers[identifier]
        if isinstance(answer, BaseException):
            raise answer
        return {"id": identifier, "changed": answer, "skipped": []}


Run = Callable[..., tuple[CliResult, Queue]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def with_answers(arguments: list[str], answers: dict[str, list[str] | BaseException]) -> tuple[CliResult, Queue]:
        queue = Queue(answers)
        monkeypatch.setattr("tripost_admin_api.cli.queue.connect", lambda _context: queue)
        return invoke("queue", *arguments), queue

    return with_answers


def unknown(identifier: str) -> CommandFailed:
    return CommandFailed(f"No message {identifier} is in the queue.", ExitCode.NOT_FOUND)


HELD = CommandFailed("Nothing to hold: bob@b.example is held.", ExitCode.CONFLICT)
AWAY = CommandFailed("No answer from https://127.0.0.1:8443.", ExitCode.UNREACHABLE)


def test_what_was_done_is_told_beside_what_could_not_be(run: Run) -> None:
    result, _ = run(["drop", A, B, C], {A: ["ann@a.example"], B: unknown(B), C: ["cat@c.example"]})
    assert result.stdout == f"{A}: ann@a.example dropped.\n{C}: cat@c.example dropped.\n"
    assert result.stderr == f"tripost: {B}: No message {B} is in the queue.\n"
    assert result.returncode == ExitCode.NOT_FOUND


def test_programs_get_what_was_done_too(run: Run) -> None:
    result, _ = run(["drop", A, B, "-o", "json"], {A: ["ann@a.example"], B: unknown(B)})
    assert [outcome["id"] for outcome in json.loads(result.stdout)] == [A]
    assert result.returncode == ExitCode.NOT_FOUND


def test_every_failure_is_told_and_the_first_gives_the_exit_code(run: Run) -> None:
    result, _ = run(["hold", A, B, C], {A: HELD, B: ["ben@b.example"], C: unknown(C)})
    assert result.stderr.splitlines() == [
        f"tripost: {A}: Nothing to hold: bob@b.example is held.",
        f"tripost: {C}: No message {C} is in the queue.",
    ]
    assert result.returncode == ExitCode.CONFLICT


def test_an_api_that_is_away_is_not_asked_for_every_message(run: Run) -> None:
    result, queue = run(["retry", "--all"], {A: ["ann@a.example"], B: AWAY, C: ["cat@c.example"]})
    assert queue.tried == [A, B]
    assert result.stdout == f"{A}: ann@a.example to be tried now.\n"
    assert result.stderr == f"tripost: {B}: {AWAY} Not tried: 1 more.\n"
    assert result.returncode == ExitCode.UNREACHABLE


def test_messages_that_nobody_named_may_have_gone(run: Run) -> None:
    result, _ = run(["hold", "--all"], {A: unknown(A), B: HELD, C: ["cat@c.example"]})
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{C}: cat@c.example held.\n", "")
    result, _ = run(["hold", "--all"], {A: unknown(A)})
    assert (result.returncode, result.stdout) == (0, "")
    assert "Nothing in the queue" in result.stderr


def test_a_message_that_is_named_twice_is_done_once(run: Run) -> None:
    result, queue = run(["drop", A, A], {A: ["ann@a.example"]})
    assert (result.returncode, queue.tried) == (0, [A])


def test_recipients_are_named_when_they_are_given(run: Run) -> None:
    _, queue = run(["drop", A], {A: ["ann@a.example"]})
    assert queue.bodies == [{}]  # all; a list of none is refused
    _, queue = run(["drop", A, "--recipient", "ann@a.example"], {A: ["ann@a.example"]})
    assert queue.bodies == [{"recipients": ["ann@a.example"]}]


def test_what_was_done_is_told_when_the_rest_is_broken_off(run: Run) -> None:
    result, _ = run(["retry", "--all"], {A: ["ann@a.example"], B: KeyboardInterrupt(), C: ["cat@c.example"]})
    assert result.stdout == f"{A}: ann@a.example to be tried now.\n"
    assert result.stderr == "tripost: Broken off; what was under way may have been done.\n"
    assert result.returncode == ExitCode.BROKEN_OFF
