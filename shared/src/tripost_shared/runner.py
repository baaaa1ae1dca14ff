"""How a service's process lives: settings, logs, bind, give root up, start, wait for a signal, drain, stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog
import uvloop
from pydantic import ValidationError

from tripost_shared import logs, privileges
from tripost_shared.settings import CommonSettings, SettingsError

log = structlog.get_logger()

DRAIN_WITHIN: Final = timedelta(seconds=20)


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


def run(name: str, build: Callable[[CommonSettings], Service]) -> None:
    """Run a service until SIGTERM or SIGINT; exits 2 with one clear line when a setting is wrong."""
    try:
        settings = CommonSettings()
        logs.set_up(name, settings.log_level, settings.log_format)
        service = build(settings)
        service.bind()
        privileges.give_up_root(settings.run_user)
    except ValidationError as error:
        _refuse(name, "; ".join(f"{_variable(error.title, item['loc'])}: {item['msg']}" for item in error.errors()))
    except SettingsError as error:
        _refuse(name, str(error))
    try:
        uvloop.run(_live(name, service))
    except SettingsError as error:
        _refuse(name, str(error))


async def _live(name: str, service: Service) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(service.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        await service.stop()
        return
    try:
        starting.result()
        log.info("service ready", process=os.getpid())
        await waiting
        log.info("service draining")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.drain(), DRAIN_WITHIN.total_seconds())
    finally:
        waiting.cancel()
        await service.stop()
    log.info("service stopped")


def _variable(title: str, location: tuple[int | str, ...]) -> str:
    prefix = "" if title in {"CommonSettings", "DatabaseSettings"} else title.removesuffix("Settings").upper() + "_"
    return "TRIPOST_" + prefix + str(location[0] if location else "").upper()


def _refuse(name: str, because: str) -> None:
    print(f"tripost {name}: {because}", file=sys.stderr)  # noqa: T201 (the one line that its operator must read)
    sys.exit(2)


def write_pid_file(path: Path, process: int) -> None:
    """Say which process serves; replaced at each start."""
    path.write_text(f"{process}\n")
