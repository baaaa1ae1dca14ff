"""What edge asks at MAIL: whether the login still stands, and what it may send as."""

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.questions import DirectoryQuestions
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_shared.bus.memory import MemoryBus
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import AUTHENTICATE, MAY_SEND, AuthenticateQuestion, MaySendQuestion

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
        authenticator = Authenticator(self.records, EqualVerifier(), clock)
        self.questions = DirectoryQuestions(directory, authenticator, Senders(directory))

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
