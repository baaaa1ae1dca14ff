"""What the services say: whole to a log file each, one JSON object a line, and readable to the terminal."""

import contextlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tripost_embedded.terminal import Terminal
from tripost_shared.bus.encoding import decode_json

KEPT_FILES: Final = 3
LONGEST_LINE: Final = 1 << 20  # octets; more without a line end is cut
# The passwords are random, in a file of mode 0600 that only the cluster's own user reads.
OF_NO_CONCERN: Final = "Plaintext passwords detected, use nkeys or bcrypt"


class LogFile:
    """A service's log: one JSON object a line; put aside when it has grown, three older ones are kept.

    What a full disk does not take is lost; the services and their mail come first.
    """

    def __init__(self, path: Path, most_octets: int) -> None:
        self._path = path
        self._most_octets = most_octets
        self._file = self._open()
        self._size = self._file.seek(0, os.SEEK_END)

    def write(self, octets: bytes) -> None:
        """Append whole lines."""
        with contextlib.suppress(OSError):
            if self._size + len(octets) > self._most_octets and self._size:
                self._put_aside()
            self._size += self._file.write(octets)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> io.FileIO:
        return io.FileIO(self._path, "ab")  # unbuffered: nothing that failed is tried again

    def _put_aside(self) -> None:
        for number in range(KEPT_FILES - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        full, self._file = self._file, self._open()
        full.close()
        self._size = 0


class ServiceLog:
    """Takes a service's output as it comes, splits it into events, hands them on."""

    def __init__(self, service: str, file: LogFile, terminal: Terminal) -> None:
        self._service = service
        self._file = file
        self._terminal = terminal
        self._rest = b""

    def feed(self, octets: bytes) -> None:
        """Take octets from the service's standard error or output."""
        *lines, self._rest = (self._rest + octets).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._take(lines)

    def close(self) -> None:
        """Take what came without a line end, and close the file."""
        if self._rest:
            self._take([self._rest])
            self._rest = b""
        self._file.close()

    def _take(self, lines: list[bytes]) -> None:
        kept: list[bytes] = []
        for line in lines:
            if not line.strip():
                continue
            event, as_json = as_event(self._service, line)
            kept.append(as_json)
            if not _is_for_the_file_only(self._service, event):
                self._terminal.event(self._service, event)
        if kept:
            self._file.write(b"\n".join(kept) + b"\n")


def _is_for_the_file_only(service: str, event: dict[str, Any]) -> bool:
    """Whether it is one of the forty lines that nats-server says at each start, and that mean nothing to people."""
    return service == "nats-server" and (event["level"] == "info" or event["event"] == OF_NO_CONCERN)


def as_event(service: str, line: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a line as an event, and give it as JSON; a line in another form becomes an event that says it."""
    event = _decoded(line)
    if event is not None:
        return event, line
    text = line.decode(errors="replace").rstrip()
    level = "info"
    if service == "nats-server":
        text, level = _nats_event(text)
    event = _told(service, text, level)
    return event, msgspec.json.encode(event)


def event_line(service: str, text: str) -> bytes:
    """Make a log line of a text, as a service would."""
    return msgspec.json.encode(_told(service, text, "info")) + b"\n"


def _told(service: str, text: str, level: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"event": text, "service": service, "level": level, "timestamp": now}


def _decoded(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        return decode_json(line, dict[str, Any])
    except msgspec.DecodeError:
        return None


def _nats_event(text: str) -> tuple[str, str]:
    """`[pid] 2026/01/01 00:00:00.000000 [INF] text` gives text and level."""
    levels = {"[INF]": "info", "[WRN]": "warning", "[ERR]": "error", "[FTL]": "critical", "[DBG]": "debug"}
    words = text.split(" ", 4)
    if len(words) == 5 and words[3] in levels:
        return words[4], levels[words[3]]
    return text, "info"
