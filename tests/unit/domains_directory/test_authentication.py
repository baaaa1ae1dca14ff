"""Logins."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.authentication import Authenticator, MemoryLimits
from tripost_domains.directory.logins import Logins
from tripost_domains.ports import TooBusy
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.mail.failures import TransientFailure

REMEMBER = timedelta(seconds=90)
PASSWORD = "correct horse"


class PlainVerifier:
    """Takes the text after "hash of " for the password; counts, and waits while `gate` is closed."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_busy = False

    async def verify(self, password_hash: str | None, password: str) -> bool:
        if self.is_busy:
            raise TooBusy
        self.asked.append(password_hash)
        self.begun.set()
        await self.gate.wait()
        return password_hash == f"hash of {password}"


class Given:
    """An authenticator that knows ann, with a password, and bob, without."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.records = MemoryDirectoryRecords(
            "mailbox ann@dest.example", "mailbox bob@dest.example", "mailbox off@dest.example disabled"
        )
        self.records.set_password("ann@dest.example", f"hash of {PASSWORD}")
        self.records.set_password("off@dest.example", f"hash of {PASSWORD}")
        self.verifier = PlainVerifier()
        self.logins = Logins(self.records, self.clock)
        self.authenticator = Authenticator(self.logins, self.verifier, self.clock, MemoryLimits(2, REMEMBER))

    async def login(self, username: str, password: str = PASSWORD) -> AuthenticateAnswer:
        question = AuthenticateQuestion("session", "192.0.2.1", "PLAIN", username, password)
        return await self.authenticator.authenticate(question)


@pytest.fixture
async def given() -> Given:
    return Given()


async def test_an_accent_of_a_login_may_stand_after_its_letter(given: Given) -> None:
    """A Mac sends it so; RFC 6532 §3.1 has it composed."""
    given.records.add("mailbox \u00e9ve@dest.example")
    given.records.set_password("\u00e9ve@dest.example", f"hash of {PASSWORD}")
    answer = await given.login("E\u0301ve@dest.example")
    assert (answer.accepted, answer.login) == (True, "\u00e9ve@dest.example")


@pytest.mark.parametrize("username", ["ann@dest.example", "Ann@Dest.EXAMPLE"])
async def test_the_login_is_the_full_address_in_any_case(given: Given, username: str) -> None:
    answer = await given.login(username)
    assert (answer.accepted, answer.login) == (True, "ann@dest.example")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("ann@dest.example", "wrong", id="wrong password"),
        pytest.param("ann@dest.example", "Correct horse", id="a password's case matters"),
        pytest.param("ann@dest.example", "", id="no password"),
        pytest.param("ann@dest.example", "x" * 2000, id="an endless password"),
        pytest.param("ann+x@dest.example", PASSWORD, id="no detail in a login"),
        pytest.param("ann", PASSWORD, id="no bare name"),
        pytest.param("bob@dest.example", PASSWORD, id="a mailbox without a password"),
        pytest.param("off@dest.example", PASSWORD, id="a disabled mailbox"),
        pytest.param("who@dest.example", PASSWORD, id="nobody"),
    ],
)
async def test_a_refused_login_says_nothing_and_costs_one_verification(
    given: Given, username: str, password: str
) -> None:
    """Unknown and wrong look the same, and take the same time."""
    answer = await given.login(username, password)
    assert (answer.accepted, answer.login, answer.credential) == (False, "", "")
    assert answer.because  # for the trace
    assert len(given.verifier.asked) == 1


async def test_a_success_is_remembered_for_a_short_time(given: Given) -> None:
    await given.login("ann@dest.example")
    given.clock.advance(REMEMBER - timedelta(seconds=1))
    assert (await given.login("ann@dest.example")).accepted
    assert len(given.verifier.asked) == 1
    given.clock.advance(timedelta(seconds=2))
    await given.login("ann@dest.example")
    assert len(given.verifier.asked) == 2


async def test_a_remembered_success_is_worth_nothing_for_another_password(given: Given) -> None:
    await given.login("ann@dest.example")
    assert not (await given.login("ann@dest.example", "other")).accepted


@pytest.mark.parametrize("username", ["ann@dest.example", "nobody@dest.example"])
async def test_a_guess_that_is_repeated_costs_one_verification_a_minute(given: Given, username: str) -> None:
    answers = [await given.login(username, "new one") for _ in range(3)]
    assert [answer.accepted for answer in answers] == [False] * 3
    assert len({answer.because for answer in answers}) == 1
    assert len(given.verifier.asked) == 1
    given.clock.advance(timedelta(seconds=60))
    await given.login(username, "new one")
    assert len(given.verifier.asked) == 2


async def test_a_refusal_is_forgotten_with_a_change_of_the_directory(given: Given) -> None:
    await given.login("ann@dest.example", "new one")
    given.records.set_password("ann@dest.example", "hash of new one")
    given.authenticator.forget()
    assert (await given.login("ann@dest.example", "new one")).accepted


async def test_a_change_of_the_directory_drops_what_is_remembered(given: Given) -> None:
    await given.login("ann@dest.example")
    given.records.set_password("ann@dest.example", "hash of new one")
    given.authenticator.forget()
    assert not (await given.login("ann@dest.example")).accepted


async def test_a_verification_that_began_before_a_change_is_not_remembered(given: Given) -> None:
    given.verifier.gate.clear()
    first = asyncio.create_task(given.login("ann@dest.example"))
    await given.verifier.begun.wait()
    given.authenticator.forget()
    given.verifier.gate.set()
    await first
    await given.login("ann@dest.example")
    assert len(given.verifier.asked) == 2


async def test_equal_logins_at_one_time_share_a_verification(given: Given) -> None:
    answers = await asyncio.gather(*(given.login("ann@dest.example") for _ in range(20)))
    assert all(answer.accepted for answer in answers)
    assert len(given.verifier.asked) == 1


async def test_another_spelling_of_a_password_is_verified_for_itself(given: Given) -> None:
    """A hash from before RFC 8265 matches one spelling alone, whichever is tried first."""
    spellings = ("caf\u00e9 au lait", "cafe\u0301 au lait")
    given.records.set_password("ann@dest.example", f"hash of {spellings[1]}")
    answers = await asyncio.gather(*(given.login("ann@dest.example", spelling) for spelling in spellings))
    assert [answer.accepted for answer in answers] == [False, True]


async def test_memory_of_successes_is_bounded(given: Given) -> None:
    for number in range(5):
        given.records.add(f"mailbox user{number}@dest.example")
        given.records.set_password(f"user{number}@dest.example", f"hash of {PASSWORD}")
        await given.login(f"user{number}@dest.example")
    assert len(given.authenticator._successes) == 2


async def test_a_busy_verifier_is_a_transient_failure(given: Given) -> None:
    given.verifier.is_busy = True
    with pytest.raises(TransientFailure):
        await given.login("ann@dest.example")


async def test_without_a_database_a_remembered_login_still_works_and_others_come_back_later(given: Given) -> None:
    await given.login("ann@dest.example")
    given.records.is_away = True
    assert (await given.login("ann@dest.example")).accepted
    with pytest.raises(TransientFailure):
        await given.login("off@dest.example")


async def test_no_password_and_no_unknown_user_name_is_logged(given: Given) -> None:
    """People type passwords into the wrong field."""
    with capture_logs() as lines:
        await given.login("ann@dest.example", "my-secret")
        await given.login("my-secret", "my-secret")
        await given.login("my-secret@dest.example", "x")
    assert len(lines) == 3
    assert "my-secret" not in str(lines)
    assert lines[0]["login"] == "ann@dest.example"


ANN = "ann@dest.example"


async def test_the_same_password_has_the_same_name_from_memory_and_from_every_replica(given: Given) -> None:
    first, remembered = await given.login(ANN), await given.login(ANN)
    assert len(given.verifier.asked) == 1
    assert first.credential == remembered.credential == (await Given().login(ANN)).credential


async def test_the_name_of_a_password_tells_neither_it_nor_its_hash(given: Given) -> None:
    answer = await given.login(ANN)
    assert answer.credential
    assert PASSWORD not in answer.credential
    assert "hash of" not in answer.credential


async def test_a_login_stands_while_its_mailbox_is_enabled_with_the_same_password(given: Given) -> None:
    """The records are asked, though this replica has not heard of a change."""
    credential = (await given.login(ANN)).credential
    assert await given.logins.stands(ANN, credential)
    given.records.set_password(ANN, "hash of another")
    assert not await given.logins.stands(ANN, credential)
    given.records.set_password(ANN, f"hash of {PASSWORD}")
    assert await given.logins.stands(ANN, credential)
    given.records.add("mailbox ann@dest.example disabled")
    given.records.set_password(ANN, f"hash of {PASSWORD}")
    assert not await given.logins.stands(ANN, credential)
    given.records.remove(ANN)
    assert not await given.logins.stands(ANN, credential)


async def test_a_login_of_one_mailbox_does_not_stand_for_another(given: Given) -> None:
    credential = (await given.login(ANN)).credential
    assert not await given.logins.stands("bob@dest.example", credential)
    assert not await given.logins.stands("no address", credential)


async def test_without_a_database_a_login_stands_until_the_next_change(given: Given) -> None:
    credential = (await given.login(ANN)).credential
    given.records.is_away = True
    given.clock.advance(10 * REMEMBER)
    assert await given.logins.stands(ANN, credential)
    with pytest.raises(TransientFailure):
        await given.logins.stands(ANN, "another")
    given.logins.forget()
    with pytest.raises(TransientFailure):
        await given.logins.stands(ANN, credential)
