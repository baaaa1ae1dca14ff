"""How a service's process lives: settings, logs, bind, give root up, start, wait for a signal, drain, stop.

Exit codes (`tripost_shared.endings`): 0 after SIGTERM or SIGINT, 1 when something broke (the log has the trace), 2 when
a setting is wrong (one line on standard error says which). A supervisor starts a service again after 1, and after 2
only if it has worked with the same settings before: then a port is taken for a moment, or a disk is full.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, NoReturn, Protocol

import structlog
import uvloop
from pydantic import ValidationError

from tripost_shared import collection, logs, privileges
from tripost_shared.endings import BROKEN, DRAIN_WITHIN, STOP_WITHIN, WRONG_SETTING
from tripost_shared.hostname import is_qualified
from tripost_shared.settings import CommonSettings, SettingsError, explain
from tripost_shared.unknown_settings import unknown_settings

log = structlog.get_logger()

CANCEL_AGAIN_SECONDS: Final = 1.0


class Service(Protocol):
    """What `run` drives."""

    def bind(self) -> None:
        """Open the listening sockets and read secrets, while still root if started so. Raises SettingsError."""
        ...

    async def start(self) -> None:
        """Connect to everything and begin work; returns when ready."""
        ...

    async def drain(self) -> None:
        """Take nothing new, finish what is at hand."""
        ...

    async def stop(self) -> None:
        """Close everything."""
        ...


def run(name: str, build: Callable[[CommonSettings], Service], *, keeping: int | None = None) -> None:
    """Run a service until SIGTERM or SIGINT; exits the process with the codes above.

    `keeping`: the capability that it keeps when it gives root up.
    """
    try:
        settings = CommonSettings()
        logs.set_up(name, settings.log_level, settings.log_format)
        service = build(settings)
        _say_doubts(settings)
        service.bind()
        privileges.give_up_root(settings.run_user, keeping=keeping)
        uvloop.run(_live(service))
    except ValidationError as error:
        _refuse(name, explain(error))
    except SettingsError as error:
        _refuse(name, str(error))
    except Exception:
        log.exception("service broke")
        sys.exit(BROKEN)


def _say_doubts(settings: CommonSettings) -> None:
    """Warn of what works and is hardly meant."""
    for name, nearest in unknown_settings(os.environ).items():
        log.warning("there is no such setting: it is ignored", setting=name, nearest=nearest or "none")
    if "hostname" not in settings.model_fields_set and not is_qualified(settings.hostname):
        log.warning("host name is not a fully qualified one: set TRIPOST_HOSTNAME", hostname=settings.hostname)


async def _live(service: Service) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(service.start())
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            collection.spare_what_lives()
            log.info("service ready", process=os.getpid())
            await waiting
            log.info("service draining")
            await _within(DRAIN_WITHIN, service.drain(), "drain")
        else:
            await _within(DRAIN_WITHIN, _give_up(starting), "start")
    finally:
        waiting.cancel()
        await _within(STOP_WITHIN, service.stop(), "stop")
    log.info("service stopped")


async def _give_up(starting: asyncio.Task[None]) -> None:
    """Cancel a start, more than once: `asyncio.wait_for` of Python 3.11 loses a cancellation that meets an answer.

    A start that has lost one would wait on, for a NATS that may be away for long.
    """
    while not starting.done():
        starting.cancel()
        await asyncio.wait({starting}, timeout=CANCEL_AGAIN_SECONDS)


async def _within(limit: timedelta, step: Coroutine[Any, Any, None], name: str) -> None:
    """Do a last step; one that takes too long or breaks is said and left, since the process ends anyway."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            await step
    except TimeoutError:
        log.warning("service was too slow", step=name, limit_seconds=limit.total_seconds())
    except Exception:
        log.exception("service broke at its end", step=name)


def _log_stray_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task and no callback caught; the service goes on."""
    error = context.get("exception")
    facts = {"exc_info": error} if error is not None else {}
    log.error("error in the event loop", because=context.get("message", ""), **facts)


def _refuse(name: str, because: str) -> NoReturn:
    print(f"tripost {name}: {because}", file=sys.stderr)  # noqa: T201 (the one line that its operator must read)
    sys.exit(WRONG_SETTING)
