"""Log lines for people."""

import io
import threading

from tripost_embedded.output import as_event
from tripost_embedded.terminal import WAITING_LINES, Terminal, readable

AT = "2026-01-01T10:20:30.123456Z"


def test_a_line_has_time_service_event_and_facts() -> None:
    event = {"event": "message accepted", "level": "info", "timestamp": AT, "service": "edge", "recipients": 2}
    assert readable("edge", event, colours=False) == "10:20:30 edge        message accepted recipients=2"


def test_a_level_other_than_info_is_said() -> None:
    event = {"event": "no answer", "level": "warning", "timestamp": AT}
    assert readable("edge", event, colours=False) == "10:20:30 edge        warning: no answer"


def test_control_characters_from_the_network_do_not_reach_the_terminal() -> None:
    event = {"event": "hello \x1b[2J", "helo": "\x1b]0;title\x07", "list": ["\x1b"], "timestamp": AT}
    line = readable("edge", event, colours=False)
    assert line.isprintable()


def test_a_trace_follows_indented() -> None:
    event = {"event": "broke", "level": "error", "timestamp": AT, "exception": "Traceback\nValueError: x"}
    assert readable("edge", event, colours=False).splitlines()[1:] == ["    Traceback", "    ValueError: x"]


def test_a_line_that_is_no_json_is_told_as_it_is() -> None:
    event, _ = as_event("edge", b"tripost edge: TRIPOST_EDGE_WORKERS: too many")
    assert event["event"] == "tripost edge: TRIPOST_EDGE_WORKERS: too many"


def test_a_line_that_only_looks_like_json_is_told_as_it_is() -> None:
    event, as_json = as_event("edge", b"{not json")
    assert event["event"] == "{not json"
    assert as_json.startswith(b'{"event":"{not json"')


def test_a_line_in_which_an_octet_is_no_text_is_told_all_the_same() -> None:
    event, _ = as_event("edge", b'{"event": "caf\xe9"}')
    assert event["event"] == '{"event": "caf\ufffd"}'


def test_levels_of_nats_server_are_understood() -> None:
    event, _ = as_event("nats-server", b"[12] 2026/01/01 10:20:30.000001 [WRN] Something is odd")
    assert (event["event"], event["level"]) == ("Something is odd", "warning")


class StandingTerminal(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.let_go.wait(10)
        return super().write(text)


def test_a_terminal_that_stands_still_holds_up_nobody_and_loses_lines_aloud() -> None:
    standing = StandingTerminal()
    terminal = Terminal(standing, colours=False)
    for number in range(WAITING_LINES + 100):
        terminal.say(f"line {number}")
    standing.let_go.set()
    terminal.close()
    assert "line 0\n" in standing.getvalue()
    assert "lines were not shown" in standing.getvalue()
