"""Lines for people.

A terminal that stands still (Ctrl-S, a slow pipe) must not hold up a service, so a thread of its own writes to it, and
what it cannot take is dropped there; the log files have everything.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Mapping
from typing import Any, Final, TextIO

import msgspec

WAITING_LINES: Final = 10_000
_NAME_WIDTH: Final = 12
_SHOWN_OTHERWISE: Final = frozenset({"event", "level", "timestamp", "service", "exception", "logger"})
_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"


class Terminal:
    """Lines to people. `colours`: whether escape sequences may be used."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        self._stream = stream
        self._colours = colours
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._writer.start()

    def say(self, text: str) -> None:
        """Print a text of the cluster itself, one or more lines."""
        self._put(text)

    def event(self, service: str, event: Mapping[str, Any]) -> None:
        """Print an event of a service."""
        self._put(readable(service, event, colours=self._colours))

    def close(self) -> None:
        """Print what still waits, for two seconds at most."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=1)
        self._writer.join(1)

    def _put(self, text: str) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone: nobody is there to be told
            while (text := self._lines.get()) is not None:
                print(text, file=self._stream, flush=self._lines.empty())
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    print(f"({dropped} lines were not shown; the log files have them)", file=self._stream)
            self._stream.flush()


def readable(service: str, event: Mapping[str, Any], *, colours: bool) -> str:
    """One line for people: time, service, level unless it is info, event, facts; a trace follows indented.

    Facts may come from the network: what is not printable is escaped.
    """
    level = str(event.get("level", "info"))
    clock = str(event.get("timestamp", ""))[11:19]
    facts = " ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _SHOWN_OTHERWISE)
    text = _printable(str(event.get("event", "")))
    shown_level = "" if level == "info" else level + ": "
    if colours:
        colour = _COLOURS.get(level, "")
        line = (
            f"{_DIM}{clock}{_PLAIN} {service:<{_NAME_WIDTH}}{colour}{shown_level}{text}{_PLAIN} {_DIM}{facts}{_PLAIN}"
        )
    else:
        line = f"{clock} {service:<{_NAME_WIDTH}}{shown_level}{text} {facts}".rstrip()
    trace = str(event.get("exception", ""))
    return line + "".join(f"\n    {_printable(part)}" for part in trace.splitlines())


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value if value and value.isprintable() and " " not in value else json.dumps(value)
    return _printable(msgspec.json.encode(value).decode())


def _printable(text: str) -> str:
    return (
        text if text.isprintable() else "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)
    )
