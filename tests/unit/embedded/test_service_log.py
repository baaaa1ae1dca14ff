"""Log files of the embedded cluster."""

import io
import json
from pathlib import Path

import pytest

from tripost_embedded.output import KEPT_FILES, LogFile, ServiceLog
from tripost_embedded.terminal import Terminal


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


def test_a_log_file_that_has_grown_is_put_aside_and_three_are_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "edge.log", most_octets=100)
    for number in range(10):
        log.write(f"{number:<59}\n".encode())
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["edge.log", *(f"edge.log.{number}" for number in range(1, KEPT_FILES + 1))]
    assert (tmp_path / "edge.log").read_bytes().startswith(b"9")
    assert (tmp_path / "edge.log.1").read_bytes().startswith(b"8")


def test_a_log_goes_on_where_the_last_start_ended(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        log = LogFile(tmp_path / "edge.log", most_octets=100)
        log.write(text)
        log.close()
    assert (tmp_path / "edge.log").read_bytes() == b"first\nsecond\n"


def test_a_full_disk_costs_lines_and_nothing_else(shown: io.StringIO) -> None:
    terminal = Terminal(shown, colours=False)
    log = ServiceLog("edge", LogFile(Path("/dev/full"), 1000), terminal)
    log.feed(b"this line\n")
    log.close()
    terminal.close()
    assert "this line" in shown.getvalue()


def test_output_in_pieces_becomes_whole_lines_of_json(tmp_path: Path, shown: io.StringIO) -> None:
    terminal = Terminal(shown, colours=False)
    log = ServiceLog("edge", LogFile(tmp_path / "edge.log", 1000), terminal)
    for piece in (b'{"event":"mess', b'age accepted","a":1}\nTrace', b"back\n", b"\n", b"the rest"):
        log.feed(piece)
    log.close()
    terminal.close()
    events = [json.loads(line)["event"] for line in (tmp_path / "edge.log").read_text().splitlines()]
    assert events == ["message accepted", "Traceback", "the rest"]
    assert len(shown.getvalue().splitlines()) == 3


def test_what_nats_server_tells_at_each_start_goes_to_its_file_only(tmp_path: Path, shown: io.StringIO) -> None:
    terminal = Terminal(shown, colours=False)
    log = ServiceLog("nats-server", LogFile(tmp_path / "nats-server.log", 1000), terminal)
    log.feed(b"[1] 2026/01/01 00:00:00.000000 [INF] Server is ready\n")
    log.feed(b"[1] 2026/01/01 00:00:00.000000 [ERR] Disk is full\n")
    log.close()
    terminal.close()
    assert "Disk is full" in shown.getvalue()
    assert "Server is ready" not in shown.getvalue()
    assert "Server is ready" in (tmp_path / "nats-server.log").read_text()
