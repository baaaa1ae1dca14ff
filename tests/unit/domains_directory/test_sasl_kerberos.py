"""GSSAPI step by step, with contexts that are a table: what is kept of them, for how long, and where."""

from datetime import timedelta

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.logins import Logins
from tripost_domains.sasl.kerberos import MOST_OPEN, OPEN_SECONDS, Kerberos, TicketRefused
from tripost_domains.sasl.questions import SaslQuestions
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.sasl import Mechanism, SaslAnswer, SaslOutcome, SaslQuestion
from tripost_shared.mail.failures import TransientFailure

USER = "user@dest.example"
LAYER = b"signed:\x01\x00\x00\x00"


class TableContext:
    """`ticket of NAME` completes it; after `more of NAME` one more token is to come. "signed:" is a signature."""

    def __init__(self) -> None:
        self.client = ""
        self.is_complete = False

    def step(self, token: bytes) -> bytes:
        kind, _, name = token.decode().partition(" of ")
        if kind not in {"ticket", "more", "last"}:
            raise TicketRefused("no ticket")
        self.client = name or self.client
        self.is_complete = kind != "more"
        return b"" if kind == "last" else b"ours"

    def wrap(self, octets: bytes) -> bytes:
        return b"signed:" + octets

    def unwrap(self, token: bytes) -> bytes:
        if not token.startswith(b"signed:"):
            raise TicketRefused("no signature")
        return token.removeprefix(b"signed:")


class TableAcceptor:
    def begin(self) -> TableContext:
        return TableContext()


class Given:
    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.records = MemoryDirectoryRecords(f"mailbox {USER}", "mailbox plain@second.example")
        self.records.allow("dest.example", "GSSAPI")
        self.logins = Logins(self.records, self.clock)
        realms = {"DEST.EXAMPLE": "dest.example", "SECOND": "second.example"}
        self.kerberos = Kerberos(TableAcceptor(), realms, self.logins, self.clock)
        self.sasl = SaslQuestions(self.logins, {Mechanism.GSSAPI: self.kerberos}, self.kerberos.instance)

    async def step(self, *exchange: bytes, session: str = "session") -> SaslAnswer:
        return await self.sasl.answer(SaslQuestion(session, "192.0.2.1", "GSSAPI", exchange))

    async def until_layer(self, principal: str, session: str = "session") -> list[bytes]:
        exchange = [b"", f"ticket of {principal}".encode()]
        answer = await self.step(*exchange, session=session)
        exchange += [answer.challenge, b""]
        answer = await self.step(*exchange, session=session)
        assert (answer.outcome, answer.challenge) == (SaslOutcome.CHALLENGE, LAYER)
        return [*exchange, answer.challenge]

    async def login(self, principal: str, authorization: str = "") -> SaslAnswer:
        return await self.step(*await self.until_layer(principal), LAYER + authorization.encode())


@pytest.fixture
def given() -> Given:
    return Given()


async def test_the_instance_that_has_begun_is_named_in_each_challenge_but_the_first(given: Given) -> None:
    assert await given.step() == SaslAnswer(SaslOutcome.CHALLENGE)
    answer = await given.step(b"", b"more of user@DEST.EXAMPLE")
    assert (answer.challenge, answer.instance) == (b"ours", given.kerberos.instance)
    answer = await given.step(b"", b"more of user@DEST.EXAMPLE", b"ours", b"last")
    assert (answer.challenge, answer.instance) == (LAYER, given.kerberos.instance)


@pytest.mark.parametrize("authorization", ["", USER, "User@Dest.example", "user@DEST.EXAMPLE", f"{USER}\0"])
async def test_a_user_of_a_realm_is_the_mailbox_of_its_domain(given: Given, authorization: str) -> None:
    answer = await given.login("user@DEST.EXAMPLE", authorization)
    assert (answer.outcome, answer.login) == (SaslOutcome.ACCEPTED, USER)
    assert await given.logins.stands(USER, answer.credential)
    given.records.allow("dest.example", "PLAIN")
    assert not await given.logins.stands(USER, answer.credential)


@pytest.mark.parametrize(
    ("principal", "authorization"),
    [
        pytest.param("user@DEST.EXAMPLE", "boss@dest.example", id="for another"),
        pytest.param("user@dest.example", "", id="another realm: case matters"),
        pytest.param("user@ELSEWHERE", "", id="a realm that nobody has configured"),
        pytest.param("user/admin@DEST.EXAMPLE", "", id="an instance"),
        pytest.param("user\\@x@DEST.EXAMPLE", "", id="an escape"),
        pytest.param("who@DEST.EXAMPLE", "", id="no mailbox"),
        pytest.param("plain@SECOND", "", id="a domain that does not allow it"),
    ],
)
async def test_others_are_refused(given: Given, principal: str, authorization: str) -> None:
    answer = await given.login(principal, authorization)
    assert (answer.outcome, answer.login) == (SaslOutcome.REFUSED, "")
    assert answer.because


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        pytest.param(b"signed:\x02\x00\x00\x00", SaslOutcome.MALFORMED, id="another layer"),
        pytest.param(b"signed:\x01", SaslOutcome.MALFORMED, id="too short"),
        pytest.param(LAYER + b"\xff", SaslOutcome.MALFORMED, id="no UTF-8"),
        pytest.param(b"\x01\x00\x00\x00", SaslOutcome.REFUSED, id="not signed"),
    ],
)
async def test_the_last_word_is_signed_and_chooses_no_layer(given: Given, last: bytes, outcome: SaslOutcome) -> None:
    assert (await given.step(*await given.until_layer("user@DEST.EXAMPLE"), last)).outcome is outcome


async def test_what_has_no_place_is_refused(given: Given) -> None:
    assert (await given.step(b"", b"nothing")).outcome is SaslOutcome.REFUSED
    assert (await given.step(b"ours", b"ticket of user@DEST.EXAMPLE")).outcome is SaslOutcome.MALFORMED
    await given.step(b"", b"ticket of user@DEST.EXAMPLE")
    answer = await given.step(b"", b"ticket of user@DEST.EXAMPLE", b"ours", b"x")
    assert answer.outcome is SaslOutcome.MALFORMED


async def test_an_exchange_that_has_not_begun_here_or_too_long_ago_is_to_begin_again(given: Given) -> None:
    exchange = await given.until_layer("user@DEST.EXAMPLE")
    with pytest.raises(TransientFailure):
        await Given().step(*exchange, LAYER)
    given.clock.advance(timedelta(seconds=OPEN_SECONDS))
    with pytest.raises(TransientFailure):
        await given.step(*exchange, LAYER)


async def test_no_more_exchanges_are_open_than_there_is_room_for_and_the_oldest_goes(given: Given) -> None:
    first = await given.until_layer("user@DEST.EXAMPLE", "first")
    second = await given.until_layer("user@DEST.EXAMPLE", "second")
    for number in range(MOST_OPEN - 1):
        await given.step(b"", b"ticket of user@DEST.EXAMPLE", session=f"session {number}")
    assert len(given.kerberos._open) == MOST_OPEN
    with pytest.raises(TransientFailure):
        await given.step(*first, LAYER, session="first")
    assert (await given.step(*second, LAYER, session="second")).outcome is SaslOutcome.ACCEPTED
