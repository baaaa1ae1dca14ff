"""What the filter said of a client is remembered, but not beyond a change of its policy."""

from tripost_edge.session.session import Session
from tripost_edge.stages.connect import Connect
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import CONNECTION, Action, ConnectionQuestion, Verdict
from tripost_shared.mail.client import Client


class OneFilter:
    """A filter whose policy changes; `asked` counts its questions."""

    def __init__(self) -> None:
        self.verdict = Verdict(Action.REJECT, revision=7)
        self.asked = 0

    async def judge(self, _question: ConnectionQuestion) -> Verdict:
        self.asked += 1
        return self.verdict


async def judged(connect: Connect, session_id: str) -> Action:
    session = Session(session_id, Client("192.0.2.9"))
    connect.begin(session)
    verdict = await connect.judgement(session)
    assert verdict is not None
    return verdict.action


async def test_a_client_is_asked_about_again_once_the_policy_has_changed(clock: FrozenClock) -> None:
    bus, filter_tier = MemoryBus(), OneFilter()
    await bus.serve(CONNECTION, filter_tier.judge)
    connect = Connect(bus, clock, remember_seconds=60)
    connect.take_policy(7)
    assert [await judged(connect, name) for name in ("s1", "s2")] == [Action.REJECT, Action.REJECT]
    assert filter_tier.asked == 1
    filter_tier.verdict = Verdict(Action.ACCEPT, revision=8)
    connect.take_policy(8)
    assert await judged(connect, "s3") is Action.ACCEPT
    assert filter_tier.asked == 2
