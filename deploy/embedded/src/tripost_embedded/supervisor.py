"""Keeps the services running, and stops them in turns."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, groupby
from pathlib import Path
from subprocess import SubprocessError
from typing import Final

from tripost_embedded.liveness import PATIENCE, wait_for_silence
from tripost_embedded.output import ServiceLog
from tripost_embedded.process import GATHER_SECONDS, Process, Program
from tripost_embedded.readiness import Probe, wait_ready
from tripost_embedded.restart import Event, Life, Phase, event_of_exit
from tripost_shared.endings import WRONG_SETTING
from tripost_shared.silence import Patience

SLOW_START: Final = timedelta(seconds=20)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A service of the cluster. `kill_after`: how long it may take to end once it was asked to.

    `is_ready` is asked as it starts, `is_alive` from then on: one that does not answer is killed and started again.
    `tells_wrong_setting`: whether its exit code 2 says that a setting is wrong, as it does for the services of ours. A
    program in Go ends with 2 when it panics. `stop_turn`: those with the same one stop side by side, lower ones first.
    """

    name: str
    program: Program
    is_ready: Probe
    is_alive: Probe
    kill_after: timedelta
    pid_file: Path
    tells_wrong_setting: bool
    stop_turn: int


class Keeper:
    """Keeps one service running: starts it, awaits that it is ready, starts it again when it dies or hangs."""

    def __init__(self, plan: ServicePlan, log: ServiceLog, say: Say, patience: Patience = PATIENCE) -> None:
        self.plan = plan
        self.ready = asyncio.Event()
        self.life = Life()
        self._log = log
        self._say = say
        self._patience = patience
        self._process: Process | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()  # no back-off is waited for

    async def keep(self) -> Phase:
        """Run until stopped, or until the service refuses its settings; gives the last phase."""
        while self.life.phase is Phase.STARTING:
            began = time.monotonic()
            event, ending = await self._live_once()
            lived = timedelta(seconds=time.monotonic() - began)
            self.life = self.life.after(event, lived)
            if self.life.phase is Phase.WAITING and not self._stop.is_set():
                self._say(
                    f"{self.plan.name} {ending} after {lived.total_seconds():.0f} s; "
                    f"it starts again in {self.life.delay.total_seconds():g} s"
                )
            if self.life.phase is Phase.WAITING:
                await self._wait_until_due()
        return self.life.phase

    async def _live_once(self) -> tuple[Event, str]:
        """Start the process and wait for its end, noting when it is ready; tells what its end means, and in words."""
        try:
            process = await Process.start(self.plan.program, self._log, self.plan.pid_file)
        except (OSError, SubprocessError) as error:  # no memory for a fork, or an upgrade replaces the program just now
            return Event.DIED, f"could not be started ({error})"
        self._process = process
        if self._stop.is_set():  # asked to stop while it was being started
            await self._stop_process(process)
        watching = asyncio.create_task(self._watch(process))
        try:
            code = await process.ended()
        finally:
            watching.cancel()
            self._process = None
            self.ready.clear()
        may_refuse = self.plan.tells_wrong_setting and not self.life.has_been_ready
        return event_of_exit(code, may_refuse=may_refuse), _ending(code, self.plan)

    async def _watch(self, process: Process) -> None:
        """Note when it is ready, and kill it when it then falls silent, unless it is to end anyhow."""
        await wait_ready(self.plan.is_ready)
        if self.life.phase is Phase.STARTING:
            is_again = self.life.deaths > 0 or self.life.has_been_ready
            self.life = self.life.after(Event.ANSWERED)
            self.ready.set()
            if is_again:
                self._say(f"{self.plan.name} is ready again")
        await wait_for_silence(self.plan.is_alive, self._patience)
        if self.life.phase is Phase.READY:
            silent = self._patience.whole.total_seconds()
            self._say(f"{self.plan.name} hangs: it has answered nothing for {silent:g} s, so it is killed")
            process.signal(signal.SIGKILL)

    async def _wait_until_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.life.delay.total_seconds()):
                await self._hurry.wait()
        self._hurry.clear()
        self.life = self.life.after(Event.STOP if self._stop.is_set() else Event.DUE)

    def hasten(self) -> None:
        """Have its next start wait for no back-off, once: it is needed, so that others can end."""
        self._hurry.set()

    async def renew(self) -> None:
        """Let it end, so that it is started anew. Nothing if it waits for its next start anyhow, or is to stop."""
        if self._process is not None and self.life.phase in {Phase.STARTING, Phase.READY}:
            self._say(f"{self.plan.name} is stopped, to start anew")
            self.life = self.life.after(Event.RENEW)
            await self._end(self._process)

    async def stop(self) -> None:
        """Let it drain and end; killed, and said so, when it takes too long."""
        self._stop.set()
        self._hurry.set()
        if self._process is not None:
            await self._stop_process(self._process)

    async def _stop_process(self, process: Process) -> None:
        self._note_stop()
        await self._end(process)

    async def _end(self, process: Process) -> None:
        if not await process.stop(self.plan.kill_after):
            self._say(f"{self.plan.name} had not ended after {self.plan.kill_after.total_seconds():g} s: killed")

    def kill(self) -> None:
        """End it at once, for good."""
        self._stop.set()
        self._hurry.set()
        if self._process is not None:
            self._note_stop()
            self._process.signal(signal.SIGKILL)

    def _note_stop(self) -> None:
        if self.life.phase in {Phase.STARTING, Phase.READY, Phase.ENDING}:
            self.life = self.life.after(Event.STOP)


class Supervisor:
    """Keeps all services. They stop turn by turn, as their plans say."""

    def __init__(self, keepers: Sequence[Keeper], say: Say) -> None:
        self._keepers = keepers
        self._say = say
        self._stopping = asyncio.Event()

    def ask_to_stop(self) -> None:
        """Stop in turns; asked a second time, kill everything at once."""
        if self._stopping.is_set():
            self._say("killing all services")
            for keeper in self._keepers:
                keeper.kill()
        else:
            self._say("stopping; Ctrl-C again kills")
        self._stopping.set()

    async def renew(self, service: str) -> None:
        """Stop one service and start it anew, all others left running; nothing if it is not ours, or all stop."""
        for keeper in self._keepers:
            if keeper.plan.name == service and not self._stopping.is_set():
                await keeper.renew()

    async def run(self, when_ready: Callable[[], None]) -> str:
        """Keep the services until asked to stop; gives the service that refused its settings, or "".

        `when_ready` is called once, when all are ready for the first time.
        """
        keeping = {asyncio.create_task(keeper.keep(), name=keeper.plan.name) for keeper in self._keepers}
        announcing = asyncio.create_task(self._announce(when_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({*keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            announcing.cancel()
            stopping.cancel()
        refused = [task.get_name() for task in done & keeping]
        self._stopping.set()
        await self._stop_in_turns()
        await asyncio.gather(*keeping)
        return refused[0] if refused else ""

    async def _stop_in_turns(self) -> None:
        """Stop them; whom the others need for their end, and who is away, is back for that as soon as can be."""
        turns = [list(turn) for _, turn in groupby(sorted(self._keepers, key=_stop_turn), key=_stop_turn)]
        for later in chain(*turns[1:]):
            later.hasten()
        for side_by_side in turns:
            await asyncio.gather(*(keeper.stop() for keeper in side_by_side))

    async def _announce(self, when_ready: Callable[[], None]) -> None:
        waiting = {asyncio.create_task(keeper.ready.wait(), name=keeper.plan.name) for keeper in self._keepers}
        try:
            while waiting:
                _, waiting = await asyncio.wait(waiting, timeout=SLOW_START.total_seconds())
                if waiting:
                    self._say(f"still waiting for {', '.join(sorted(task.get_name() for task in waiting))}")
        finally:
            for task in waiting:
                task.cancel()
        await asyncio.sleep(2 * GATHER_SECONDS)  # what they said as they started is shown before
        when_ready()


def _stop_turn(keeper: Keeper) -> int:
    return keeper.plan.stop_turn


def _ending(code: int, plan: ServicePlan) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    if code == WRONG_SETTING and plan.tells_wrong_setting:
        return f"refused settings that it had taken before (exit code {code}; its own words are above)"
    return f"ended (exit code {code})"
