"""Logs: one JSON object a line, whatever is logged from wherever."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Literal

import pytest
import structlog

from tripost_shared import logs


class Log:
    """What was written to standard error since `set_up`."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    kept, log = root.level, Log()
    monkeypatch.setattr(sys, "stderr", log.stream)
    logs.set_up("edge", "info", "json")
    yield log
    structlog.reset_defaults()
    root.setLevel(kept)


def test_an_event_has_its_facts_the_service_and_the_time(log: Log) -> None:
    structlog.get_logger().info("message accepted", recipients=2)
    [event] = log.events
    assert event | {"timestamp": ""} == {
        "event": "message accepted",
        "recipients": 2,
        "service": "edge",
        "level": "info",
        "timestamp": "",
    }
    assert event["timestamp"].endswith("Z")


def test_a_line_is_written_at_once_so_that_those_of_several_processes_stay_apart(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(log.stream, "write", written.append)
    structlog.get_logger().info("message accepted")
    [line] = written
    assert json.loads(line.removesuffix("\n"))["event"] == "message accepted"
    assert line.endswith("\n")


def test_the_service_is_named_from_every_thread(log: Log) -> None:
    thread = threading.Thread(target=lambda: structlog.get_logger().info("in a thread"))
    thread.start()
    thread.join()
    assert log.events[0]["service"] == "edge"


def test_a_level_below_the_wanted_one_is_left_out(log: Log) -> None:
    structlog.get_logger().debug("client said", line="EHLO x")
    assert log.events == []


def test_libraries_log_in_the_same_form_from_warning_on(log: Log) -> None:
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("odd: %s", "x")
    [event] = log.events
    assert (event["event"], event["logger"], event["service"]) == ("odd: x", "library", "edge")


@pytest.mark.parametrize(
    "value",
    [ip_address("192.0.2.1"), b"octets", {1, 2}, "octet \udc80 of a client", object()],
    ids=lambda v: type(v).__name__,
)
def test_any_value_can_be_logged(log: Log, value: object) -> None:
    structlog.get_logger().info("seen", value=value)
    assert log.events[0]["event"] == "seen"


def test_an_exception_is_logged_with_its_trace(log: Log) -> None:
    try:
        _ = dict[str, str]()["missing"]
    except KeyError:
        structlog.get_logger().exception("broke")
    assert "KeyError: 'missing'" in log.events[0]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_terminal_obeys_what_a_client_said(
    log: Log, monkeypatch: pytest.MonkeyPatch, form: Literal["json", "console"]
) -> None:
    monkeypatch.setattr(sys, "stderr", log.stream)
    logs.set_up("edge", "info", form)
    structlog.get_logger().info("refused", helo="a\x9b2Jb\u202ec", reverse_path="gr\u00fc\u00dfe@b.example\x1b[2J")
    written = log.stream.getvalue()
    assert not set(written) & set("\x9b\u202e\x1b")
    assert "gr\u00fc\u00dfe@b.example" in written
