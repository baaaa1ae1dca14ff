"""A relay agent with what it needs, for tests against next hops on loopback."""

from datetime import timedelta

import pytest

from delivery_world import make_message
from next_hop import USUAL_EXTENSIONS, NextHop
from tripost_domains.delivery.outcome import Outcome, Trial
from tripost_domains.delivery.relay.agent import RelayAgent
from tripost_domains.delivery.relay.finder import HostFinder
from tripost_domains.delivery.relay.gate import Gate, GateLimits
from tripost_domains.delivery.relay.memory import HostMemory
from tripost_domains.delivery.relay.pool import SessionPool
from tripost_domains.delivery.relay.reach import Reach
from tripost_domains.delivery.relay.session import Patience
from tripost_domains.directory import model
from tripost_domains.directory.model import HopKind
from tripost_shared.clock import SystemClock
from tripost_shared.content.memory import MemoryContentStore
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.envelope import Recipient

BOB, EVE = "bob@other.example", "eve@other.example"
WITHOUT_PIPELINING = [keyword for keyword in USUAL_EXTENSIONS if keyword != "PIPELINING"]
BOTH_WAYS = pytest.mark.parametrize(
    "extensions", [USUAL_EXTENSIONS, WITHOUT_PIPELINING], ids=["pipelined", "one by one"]
)
QUICK = Patience(connect=2, greeting=0.5, command=0.5, block=2, final=0.5)


class RelayWorld:
    """The agent, its DNS as a table, its content store in memory; a session serves three transactions at most."""

    def __init__(self, patience: Patience = QUICK, limits: GateLimits | None = None) -> None:
        clock = SystemClock()
        self.dns = TableResolver()
        self.store = MemoryContentStore()
        self.pool = SessionPool(clock, idle_seconds=10, max_transactions=3)
        self.finder = HostFinder(self.dns, ["mail.ours.example"], reach=Reach(loopback=True))
        self.memory = HostMemory(clock, timedelta(seconds=60))
        self.gate = Gate(limits or GateLimits(patience=timedelta(seconds=5)))
        self.agent = RelayAgent(
            self.finder, self.memory, self.pool, self.gate, self.store, "mail.ours.example", patience
        )

    async def relay(
        self,
        message: SpooledMessage,
        hop: NextHop,
        *recipients: str,
        tls: str = "may",
        trial: Trial | None = None,
    ) -> dict[str, Outcome]:
        """Relay to a hop as a smarthost."""
        outcomes: dict[str, Outcome] = {}
        given = [Recipient(address) for address in recipients or (BOB,)]
        await self.agent.relay(message, smarthost(hop, tls), given, trial or Trial(), outcomes)
        return outcomes

    async def relay_one(self, hop: NextHop, *, tls: str = "may", trial: Trial | None = None) -> Outcome:
        """Relay a usual message to Bob."""
        return (await self.relay(make_message(BOB), hop, tls=tls, trial=trial))[BOB]

    async def relay_by_mx(self, *hops: NextHop, trial: Trial | None = None) -> Outcome:
        """Relay a usual message to Bob, as `relay_all_by_mx` does."""
        return (await self.relay_all_by_mx(make_message(BOB), *hops, trial=trial))[BOB]

    async def relay_all_by_mx(
        self, message: SpooledMessage, *hops: NextHop, trial: Trial | None = None
    ) -> dict[str, Outcome]:
        """Relay to a domain whose MX hosts are these, in order: `mx1.example` is 127.0.0.1, and so on; one port."""
        for number, _ in enumerate(hops, 1):
            self.dns.add(f"dest.example MX {10 * number} mx{number}.example")
            self.dns.add(f"mx{number}.example A 127.0.0.{number}")
        self.finder._mx_port = hops[0].port
        hop = model.NextHop(HopKind.MX, "dest.example")
        outcomes: dict[str, Outcome] = {}
        await self.agent.relay(message, hop, message.envelope.recipients, trial or Trial(), outcomes)
        return outcomes


def smarthost(hop: NextHop, tls: str = "may") -> model.NextHop:
    """The hop as an administrator's choice."""
    return model.NextHop(HopKind.SMARTHOST, hop.host, hop.port, tls)
