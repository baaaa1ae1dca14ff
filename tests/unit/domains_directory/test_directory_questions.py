"""What edge asks: where recipients lead, whether a login still stands, and what it may send as."""

import asyncio

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.logins import Logins
from tripost_domains.directory.questions import DirectoryQuestions
from tripost_domains.directory.revisions import MOST_KNOWN, Revisions
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_domains.sasl.questions import SaslQuestions
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.bus.port import NoAnswer
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import (
    AUTHENTICATE,
    MAY_SEND,
    AuthenticateQuestion,
    MaySendQuestion,
    RecipientKind,
    ResolveQuestion,
)
from tripost_shared.mail.failures import TransientFailure

ANN = "ann@dest.example"


class EqualVerifier:
    """Takes a hash for the password itself."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        return password_hash == password


class Given:
    """Domains on a bus, with ann's mailbox."""

    def __init__(self, clock: FrozenClock) -> None:
        self.bus = MemoryBus()
        self.records = MemoryDirectoryRecords("mailbox ann@dest.example")
        self.records.set_password(ANN, "secret")
        directory = Directory(self.records, clock)
        logins = Logins(self.records, clock)
        authenticator = Authenticator(logins, EqualVerifier(), clock)
        self.questions = DirectoryQuestions(
            directory, logins, authenticator, SaslQuestions(logins, {}), Senders(directory)
        )
        self.questions.take_change(DirectoryChange(4))

    async def kind(self, recipient: str, revision: int) -> RecipientKind:
        """Ask as an edge does that knows of this revision."""
        return (await self.questions.resolve(ResolveQuestion((recipient,), revision))).kinds[0]

    async def may_send(self, reverse_path: str, revision: int) -> bool:
        """Ask as an edge does that knows of this revision."""
        question = MaySendQuestion(ANN, reverse_path, directory_revision=revision)
        return (await self.questions.may_send(question)).allowed

    async def logged_in(self) -> str:
        """Give ann's credential."""
        await self.questions.serve(self.bus)
        return (
            await self.bus.ask(AUTHENTICATE, AuthenticateQuestion("s", "192.0.2.1", "PLAIN", ANN, "secret"))
        ).credential


@pytest.mark.parametrize(
    ("reverse_path", "allowed"),
    [pytest.param(ANN, True, id="own"), pytest.param("eve@dest.example", False, id="of another")],
)
async def test_a_login_that_stands_may_send_as_itself(clock: FrozenClock, reverse_path: str, allowed: bool) -> None:
    given = Given(clock)
    credential = await given.logged_in()
    answer = await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, reverse_path, credential))
    assert (answer.allowed, answer.login_stands) == (allowed, True)


@pytest.mark.parametrize("reverse_path", [ANN, ""])
async def test_a_login_that_is_over_may_send_nothing(clock: FrozenClock, reverse_path: str) -> None:
    given = Given(clock)
    credential = await given.logged_in()
    assert (await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, reverse_path, credential))).login_stands
    given.records.set_password(ANN, "another")
    answer = await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, reverse_path, credential))
    assert (answer.allowed, answer.login_stands) == (False, False)


async def test_an_edge_from_before_credentials_is_answered_as_before(clock: FrozenClock) -> None:
    given = Given(clock)
    await given.logged_in()
    given.records.set_password(ANN, "another")
    answer = await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, ANN))
    assert (answer.allowed, answer.login_stands) == (True, True)


@pytest.fixture
def given(clock: FrozenClock) -> Given:
    return Given(clock)


@pytest.mark.parametrize(
    "revision", [pytest.param(5, id="a later one"), pytest.param(2, id="of a cluster that has begun anew")]
)
async def test_an_asker_that_knows_of_another_change_gets_no_answer_from_before(given: Given, revision: int) -> None:
    """It would remember the answer as one from after that change."""
    given.records.add(f"grant {ANN} sales@dest.example")
    assert await given.kind(ANN, 4) is RecipientKind.LOCAL
    assert await given.may_send("sales@dest.example", 4)
    given.records.remove(ANN)
    assert await given.kind(ANN, 4) is RecipientKind.LOCAL  # this replica has not heard
    assert await given.kind(ANN, revision) is RecipientKind.UNKNOWN
    assert not await given.may_send("sales@dest.example", revision)


async def test_a_right_that_came_from_memory_is_looked_at_again_for_another_revision(given: Given) -> None:
    """As above, the first question after the change being about the right."""
    given.records.add("alias sales@dest.example ann@dest.example")
    assert await given.may_send("sales@dest.example", 4)
    given.records.remove("sales@dest.example")
    assert await given.may_send("sales@dest.example", 4)
    assert not await given.may_send("sales@dest.example", 5)


async def test_many_questions_of_one_revision_read_once(given: Given) -> None:
    await given.kind(ANN, 4)
    loads = given.records.loads
    await asyncio.gather(*(given.kind(ANN, 5) for _ in range(50)))
    await asyncio.gather(*(given.kind(ANN, revision) for revision in (4, 5) * 50))
    assert given.records.loads == loads + 1


@pytest.mark.parametrize("revision", [0, 4])
async def test_an_asker_that_knows_of_no_other_change_is_answered_from_memory(given: Given, revision: int) -> None:
    """0: it has read none yet, or is older than revisions in questions."""
    await given.kind(ANN, 4)
    loads = given.records.loads
    assert await given.kind(ANN, revision) is RecipientKind.LOCAL
    assert given.records.loads == loads


async def test_without_a_database_a_change_that_is_asked_by_counts_as_one_that_is_heard(given: Given) -> None:
    """A remembered yes is given, a no and a right are not (ADR 7)."""
    for recipient in (ANN, "new@dest.example"):
        await given.kind(recipient, 4)
    assert await given.may_send(ANN, 4)
    given.records.is_away = True
    assert await given.may_send(ANN, 4)
    assert await given.kind(ANN, 5) is RecipientKind.LOCAL
    with pytest.raises(TransientFailure):
        await given.kind("new@dest.example", 5)
    with pytest.raises(TransientFailure):
        await given.may_send(ANN, 5)


async def test_without_a_database_no_alias_from_before_a_change_gives_a_right(given: Given) -> None:
    """Also where the sender itself was read after it."""
    given.records.add("alias sales@dest.example ann@dest.example")
    assert await given.may_send("sales@dest.example", 4)
    given.records.is_away = True
    assert await given.may_send("sales@dest.example", 4)
    given.records.is_away = False
    assert await given.may_send(ANN, 5)
    given.records.is_away = True
    with pytest.raises(TransientFailure):
        await given.may_send("sales@dest.example", 5)


async def test_without_a_database_a_login_stands_by_the_revision_that_it_was_accepted_at(given: Given) -> None:
    credential = await given.logged_in()
    given.records.is_away = True
    assert (await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, "", credential, 4))).login_stands
    with pytest.raises(NoAnswer):
        await given.bus.ask(MAY_SEND, MaySendQuestion(ANN, "", credential, 5))


def test_a_revision_that_comes_again_in_a_cluster_that_began_anew_is_a_change() -> None:
    """It counts from 1 again: what bore that number before was another state of the directory."""
    forgotten: list[None] = []
    revisions = Revisions(lambda: forgotten.append(None))
    for revision in (1, 2):
        revisions.hear(revision)
    revisions.hear(1)
    revisions.be_asked(1)
    assert len(forgotten) == 3
    revisions.be_asked(2)
    assert len(forgotten) == 4


def test_revisions_that_are_known_are_bounded() -> None:
    revisions = Revisions()
    for revision in range(1, 10 * MOST_KNOWN):
        revisions.be_asked(revision)
    assert len(revisions._known) <= MOST_KNOWN
