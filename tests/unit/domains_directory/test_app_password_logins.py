"""Logging in by an application password."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.authentication import Authenticator, MemoryLimits
from tripost_domains.directory.logins import Logins
from tripost_domains.directory.model import AppPasswordRecord
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import AuthenticateAnswer, AuthenticateQuestion
from tripost_shared.logins.app_passwords import app_password_digest
from tripost_shared.mail.client import ListenerKind

ANN = "ann@dest.example"
GIVEN = "abcd-efgh-jkmn-pqrs-tuvw-xyz2"
PHONE = AppPasswordRecord(7, "phone", app_password_digest(GIVEN), ("submission",))
HOUR = timedelta(hours=1)


class CountingVerifier:
    """Counts what is asked; nothing matches but "hash of" the password."""

    def __init__(self) -> None:
        self.asked = 0

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.asked += 1
        return password_hash == f"hash of {password}"


class Given:
    """Ann, who has a password of her own and one for her phone."""

    def __init__(self, app_password: AppPasswordRecord = PHONE) -> None:
        self.clock = FrozenClock()
        self.records = MemoryDirectoryRecords(f"mailbox {ANN}")
        self.records.set_password(ANN, "hash of her own")
        other = replace(PHONE, id=8, name="tablet", digest=app_password_digest("other"))
        self.records.set_app_passwords(ANN, other, app_password)
        self.logins = Logins(self.records, self.clock)
        self.verifier = CountingVerifier()
        limits = MemoryLimits(10, timedelta(seconds=90))
        self.authenticator = Authenticator(self.logins, self.verifier, self.clock, limits)

    async def login(
        self,
        password: str = GIVEN,
        username: str = ANN,
        client: str = "192.0.2.1",
        kind: ListenerKind = ListenerKind.SUBMISSION,
        mechanism: str = "PLAIN",
    ) -> AuthenticateAnswer:
        question = AuthenticateQuestion("session", client, mechanism, username, password, "submission", kind)
        return await self.authenticator.authenticate(question)

    async def last_used(self) -> object:
        await self.logins.settle()
        record = await self.records.load_credential("dest.example", "ann")
        assert record is not None
        return {one.name: one.last_used_at for one in record.app_passwords}["phone"]


@pytest.mark.parametrize("password", [GIVEN, "her own"], ids=["the phone's", "her own"])
async def test_both_kinds_of_passwords_let_in(password: str) -> None:
    given = Given()
    answer = await given.login(password)
    assert (answer.accepted, answer.login) == (True, ANN)
    assert await given.logins.stands(ANN, answer.credential)


async def test_a_mailbox_without_a_password_of_its_own_can_have_application_passwords() -> None:
    given = Given()
    given.records.set_password(ANN, None)
    assert (await given.login()).accepted
    assert not (await given.login("her own")).accepted


@pytest.mark.parametrize(
    ("app_password", "changes", "because"),
    [
        pytest.param(PHONE, {"password": "abcd"}, "wrong password", id="another"),
        pytest.param(PHONE, {"username": "who@dest.example"}, "no such mailbox", id="of another mailbox"),
        pytest.param(PHONE, {"kind": ListenerKind.INTERNAL}, "*not for listeners of the kind internal", id="scope"),
        pytest.param(replace(PHONE, networks=("198.51.100.0/24",)), {}, "*not for this client's network", id="network"),
        pytest.param(replace(PHONE, networks=("2001:db8::/32",)), {"client": "?"}, "*network", id="no address"),
        pytest.param(replace(PHONE, expires_at=FrozenClock().now()), {}, "*has expired", id="expired"),
        pytest.param(PHONE, {"mechanism": "CRAM-MD5"}, "*does not allow CRAM-MD5", id="mechanism"),
    ],
)
async def test_one_that_is_not_good_here_is_as_a_wrong_one(
    app_password: AppPasswordRecord, changes: dict[str, str], because: str
) -> None:
    """The same answer after the same work; the operator reads why, and never the password."""
    given = Given(app_password)
    with capture_logs() as lines:
        answer = await given.login(**changes)  # type: ignore[arg-type]  # a table of arguments
    assert (answer.accepted, answer.login, answer.credential) == (False, "", "")
    assert given.verifier.asked == 1
    assert answer.because.endswith(because.lstrip("*"))
    assert [line["because"] for line in lines] == [answer.because]
    assert GIVEN not in str(lines) + str(answer)


@pytest.mark.parametrize("networks", [("192.0.2.0/24",), ("2001:db8::/32", "192.0.2.1/32")])
async def test_within_its_networks_it_is_good(networks: tuple[str, ...]) -> None:
    assert (await Given(replace(PHONE, networks=networks)).login()).accepted


async def test_a_remembered_success_is_worth_nothing_from_another_network() -> None:
    given = Given(replace(PHONE, networks=("192.0.2.0/24",)))
    assert (await given.login()).accepted
    assert not (await given.login(client="198.51.100.1")).accepted


async def test_a_remembered_success_ends_when_it_expires_and_so_does_its_login() -> None:
    given = Given(replace(PHONE, expires_at=FrozenClock().now() + timedelta(seconds=30)))
    answer = await given.login()
    assert await given.logins.stands(ANN, answer.credential)
    given.clock.advance(timedelta(seconds=31))
    assert not (await given.login()).accepted
    assert not await given.logins.stands(ANN, answer.credential)


async def test_one_that_was_revoked_ends_its_logins_at_once_and_no_others() -> None:
    given = Given()
    own, phone = await given.login("her own"), await given.login()
    assert own.credential != phone.credential
    given.records.set_app_passwords(ANN)
    assert not await given.logins.stands(ANN, phone.credential)
    assert await given.logins.stands(ANN, own.credential)
    given.authenticator.forget()
    assert not (await given.login()).accepted


async def test_when_it_was_used_last_is_known_to_the_minute() -> None:
    given = Given()
    assert await given.last_used() is None
    await given.login()
    first = given.clock.now()
    assert await given.last_used() == first
    for seconds, seen in ((59, first), (60, first + timedelta(seconds=60))):
        given.clock.advance(first + timedelta(seconds=seconds) - given.clock.now())
        given.authenticator.forget()
        await given.login()
        assert await given.last_used() == seen


async def test_a_use_that_cannot_be_noted_hinders_no_login() -> None:
    given = Given()
    answer = await given.login()
    given.records.is_away = True
    assert answer.accepted
    await given.logins.settle()
