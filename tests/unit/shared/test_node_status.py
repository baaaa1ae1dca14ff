"""Each instance says who it is."""

from datetime import timedelta

from tripost_shared.bus.memory import MemoryBus
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.nodes import NODES_SUBJECT, NodeStatus
from tripost_shared.nodes import serve_status


async def test_an_instance_tells_its_service_start_readiness_and_details(clock: FrozenClock) -> None:
    bus = MemoryBus()
    started_at = clock.now()
    sessions = 1
    await serve_status(bus, "edge", lambda: True, lambda: {"sessions": str(sessions)}, lambda: 7, clock)
    clock.advance(timedelta(hours=1))
    sessions = 2
    (status,) = await bus.gather(NODES_SUBJECT, NodeStatus, timedelta(seconds=1))
    assert (status.service, status.started_at, status.ready, status.config_revision) == ("edge", started_at, True, 7)
    assert status.details == {"sessions": "2"}
    assert status.instance
    assert status.version
