"""Logs: events with facts, one JSON object (or a readable line) each, on standard error (structlog).

What libraries log by the standard `logging` leaves in the same form, from level warning on. No character of a client
reaches a terminal that would obey it.
"""

import json
import logging
import sys
from typing import Final, Literal

import msgspec
import structlog

from tripost_shared.mail.header import printable

LIBRARIES: Final = logging.WARNING
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def set_up(service: str, level: str, form: Literal["json", "console"]) -> None:
    """Send this process' logs to standard error, the service's name on each."""
    number = logging.getLevelNamesMapping()[level.upper()]
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _Names(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if form == "json" else _with_printable_facts,
    ]
    structlog.configure(
        processors=[*before, _renderer(form)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before[:-1], structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, before[-1], _renderer(form)],
        )
    )
    logging.basicConfig(level=max(number, LIBRARIES), handlers=[handler], force=True)


class _Names:
    """Puts the service's name on each event, whichever thread it comes from."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", self._service)
        return event


def _with_printable_facts(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Prepare an event for people: its texts are made printable, the trace of an exception is noted."""
    facts = {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
    return structlog.dev.set_exc_info(logger, method, facts)


def _renderer(form: Literal["json", "console"]) -> structlog.typing.Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(serializer=_to_json)
    # The plain form: the other ones print local variables, among which secrets may be.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _to_json(event: object, **_options: object) -> str:
    try:
        line = _encode(event).decode()
    except UnicodeEncodeError:  # octets of a client that were no UTF-8, kept as surrogates
        return json.dumps(event, default=repr)
    return line if line.isascii() else printable(line)  # JSON has escaped the others
