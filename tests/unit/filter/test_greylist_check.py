"""The greylist check (RFC 6647)."""

from datetime import timedelta

import pytest

from tripost_filter.check import MustWait
from tripost_filter.checks.greylist import COME_BACK_LATER, Greylist, KnownTriplets, triplet_key
from tripost_filter.exemptions import Exemptions, address_of
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import GreylistPolicy
from tripost_shared.contracts.filter import Finding
from tripost_shared.kv.memory import MemoryBucket
from tripost_shared.kv.port import Conflict
from tripost_shared.mail.client import Client
from unit.filter.mails import LOGGED_IN, a_mail

POLICY = GreylistPolicy(delay_seconds=300)


class Setting:
    """A greylist on a bucket in memory."""

    def __init__(self, policy: GreylistPolicy = POLICY) -> None:
        self.clock = FrozenClock()
        self.bucket = MemoryBucket(self.clock)
        self.greylist = self.replica(policy)

    def replica(self, policy: GreylistPolicy = POLICY) -> Greylist:
        """Give another filter instance on the same bucket."""
        exemptions = Exemptions(["127.0.0.0/8"])
        return Greylist(policy, exemptions, self.bucket, KnownTriplets(self.clock), self.clock)

    async def result(self, greylist: Greylist | None = None, client: str = "192.0.2.7", **facts: str) -> str:
        finding = await (greylist or self.greylist).examine(a_mail(Client(client), **facts))
        assert finding is not None
        assert (finding.refuse_with == COME_BACK_LATER) is (finding.result in {"new", "early"})
        return finding.result

    async def result_as_the_pipeline_asks(self) -> str:
        try:
            finding = self.greylist.examine_at_once(a_mail())
        except MustWait:
            return await self.result()
        assert finding is not None
        return finding.result


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_first_sight_of_a_triplet_is_deferred(setting: Setting) -> None:
    """The client is told to come back (RFC 6647 §2.4)."""
    finding = await setting.greylist.examine(a_mail())
    assert finding == Finding("greylist", "new", refuse_with=COME_BACK_LATER, evidence={"wait_seconds": "300"})


async def test_a_retry_before_the_delay_is_told_how_long_to_wait(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(seconds=100))
    finding = await setting.greylist.examine(a_mail())
    assert finding == Finding("greylist", "early", refuse_with=COME_BACK_LATER, evidence={"wait_seconds": "200"})


async def test_a_retry_after_the_delay_passes_and_is_remembered(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(seconds=300))
    assert await setting.result() == "passed"
    setting.clock.advance(timedelta(days=34))
    assert await setting.result() == "known"


async def test_a_triplet_in_use_is_renewed(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(minutes=5))
    await setting.result()
    for _ in range(4):
        setting.clock.advance(timedelta(days=30))
        assert await setting.result() == "known"


@pytest.mark.parametrize(
    ("remember", "every"),
    [
        pytest.param(timedelta(days=1), timedelta(hours=1), id="a day"),
        pytest.param(timedelta(hours=12), timedelta(hours=1), id="half a day"),
        pytest.param(timedelta(minutes=1), timedelta(seconds=5), id="less than what a replica remembers"),
    ],
)
async def test_a_busy_pair_is_never_deferred_again_however_short_its_triplet_is_remembered(
    remember: timedelta, every: timedelta
) -> None:
    setting = Setting(GreylistPolicy(delay_seconds=30, remember_seconds=int(remember.total_seconds())))
    await setting.result()
    setting.clock.advance(timedelta(seconds=30))
    assert await setting.result() == "passed"
    for _ in range(100):
        setting.clock.advance(every)
        assert await setting.result_as_the_pipeline_asks() == "known"


async def test_a_triplet_out_of_use_is_forgotten(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(minutes=5))
    await setting.result()
    setting.clock.advance(timedelta(days=36))
    assert await setting.result() == "new"


async def test_a_retry_after_the_window_is_a_first_sight_again(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(days=3))
    assert await setting.result() == "new"


async def test_all_replicas_see_the_same_triplets(setting: Setting) -> None:
    other = setting.replica()
    assert await setting.result() == "new"
    assert await setting.result(other) == "early"
    setting.clock.advance(timedelta(minutes=5))
    assert await setting.result(other) == "passed"
    assert await setting.result() == "known"


async def test_neighbours_of_a_client_count_as_the_client(setting: Setting) -> None:
    await setting.result(client="192.0.2.7")
    assert await setting.result(client="192.0.2.200") == "early"
    assert await setting.result(client="192.0.3.7") == "new"
    await setting.result(client="2001:db8::7")
    assert await setting.result(client="2001:db8::ffff:1") == "early"
    assert await setting.result(client="2001:db8:0:1::7") == "new"


async def test_another_sender_or_recipient_is_another_triplet(setting: Setting) -> None:
    await setting.result()
    assert await setting.result(reverse_path="eve@sender.example") == "new"
    assert await setting.result(reverse_path="") == "new"
    assert await setting.result(recipient="carol@dest.example") == "new"
    assert await setting.result(recipient="BOB@dest.example") == "early"


async def test_a_triplet_that_passed_lately_needs_no_bucket(setting: Setting) -> None:
    await setting.result()
    setting.clock.advance(timedelta(minutes=5))
    await setting.result()
    setting.bucket.is_unavailable = True
    assert setting.greylist.examine_at_once(a_mail(Client("192.0.2.7"))) == Finding("greylist", "known")
    setting.clock.advance(timedelta(minutes=6))
    with pytest.raises(MustWait):
        setting.greylist.examine_at_once(a_mail(Client("192.0.2.7")))


async def test_a_bucket_that_does_not_answer_is_for_the_failure_policy(setting: Setting) -> None:
    setting.bucket.is_unavailable = True
    finding = await setting.greylist.examine(a_mail())
    assert finding is not None
    assert (finding.result, finding.degraded, finding.refuse_with) == ("unavailable", True, None)


async def test_two_replicas_that_see_a_triplet_first_at_once_agree(setting: Setting) -> None:
    """The slower one finds the key written after it had looked (Conflict), and reads it again."""

    class Raced(MemoryBucket):
        async def create(self, key: str, value: bytes, ttl: timedelta) -> int:
            await super().create(key, value, ttl)
            raise Conflict(key)

    bucket = Raced(setting.clock)
    greylist = Greylist(POLICY, Exemptions([]), bucket, KnownTriplets(setting.clock), setting.clock)
    assert await setting.result(greylist) == "early"


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"\xc1", id="no MessagePack"),
        pytest.param(b"\x92\xa1\xff\x01", id="another form"),
    ],
)
async def test_a_triplet_that_cannot_be_read_begins_anew(setting: Setting, damaged: bytes) -> None:
    await setting.result()
    (key,) = await setting.bucket.keys()
    entry = await setting.bucket.get(key)
    assert entry is not None
    await setting.bucket.update(key, damaged, entry.revision, timedelta(days=1))
    assert await setting.result() == "new"
    setting.clock.advance(timedelta(seconds=300))
    assert await setting.result() == "passed"


@pytest.mark.parametrize("client", [LOGGED_IN, Client("192.0.2.7", relay_permitted=True), Client("127.0.0.1")])
async def test_our_own_and_exempt_clients_leave_no_trace(setting: Setting, client: Client) -> None:
    assert await setting.greylist.examine(a_mail(client)) is None
    assert await setting.bucket.keys() == []


async def test_switched_off_it_writes_nothing() -> None:
    setting = Setting(GreylistPolicy(enabled=False))
    assert await setting.greylist.examine(a_mail()) is None
    assert await setting.bucket.keys() == []


def test_the_memory_of_triplets_is_bounded() -> None:
    known = KnownTriplets(FrozenClock(), capacity=2)
    for key in ("a", "b", "c"):
        known.add(key, at_most_seconds=300)
    assert ["a" in known, "b" in known, "c" in known] == [False, True, True]


def test_keys_are_what_buckets_take_and_name_nobody() -> None:
    key = triplet_key(address_of(Client("192.0.2.7")), "ann@sender.example", "bob@dest.example")
    assert len(key) == 32
    assert key.isalnum()
