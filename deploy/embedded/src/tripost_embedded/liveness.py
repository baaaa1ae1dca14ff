"""Whether a service that was ready still runs, asked at the end point that Kubernetes' liveness probe asks.

A service that hangs (a deadlock, an event loop that is held up, a SIGSTOP) does not die, and nothing but its silence
tells of it. Any answer is a sign of life, and so is a connection that it closes: that it has too many, say.
"""

import asyncio
from datetime import timedelta
from typing import Final

from tripost_embedded.readiness import Probe
from tripost_shared.silence import Patience, Silence, seconds_since_boot

# 30 s: longer than an end may take (KILL_AFTER), so none that drains is taken for one that hangs.
PATIENCE: Final = Patience(every=timedelta(seconds=5), looks=6)


async def wait_for_silence(is_alive: Probe, patience: Patience) -> None:
    """Return when it has been silent for too long; to be cancelled by who no longer waits."""
    silence = Silence(patience, seconds_since_boot())
    every = patience.every.total_seconds()
    loop = asyncio.get_running_loop()
    heard = True
    while not silence.is_too_long_after(heard=heard, now=seconds_since_boot()):
        due = loop.time() + every
        heard = await _gives_a_sign(is_alive, every)
        await asyncio.sleep(due - loop.time())


async def _gives_a_sign(is_alive: Probe, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            return await is_alive()
    except (OSError, TimeoutError):
        return False
