"""SCRAM and CRAM-MD5, as domains answers them: by the RFCs' own examples, and step by step."""

from base64 import b64decode
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from sasl_clients import ScramClient, cram_md5
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.logins import Logins
from tripost_domains.sasl import scram_messages as messages
from tripost_domains.sasl.cram_md5 import CramMd5
from tripost_domains.sasl.malformed import Malformed
from tripost_domains.sasl.questions import SaslQuestions
from tripost_domains.sasl.scram import Scram
from tripost_domains.sasl.scram_messages import ClientFinal, ClientFirst
from tripost_domains.sasl.stored import StoredSecrets
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.sasl import Mechanism, SaslAnswer, SaslOutcome, SaslQuestion
from tripost_shared.logins.scram import HASHES, derive
from tripost_shared.logins.sealing import LoginKey
from tripost_shared.logins.secrets import sealed_secrets
from tripost_shared.mail.failures import TransientFailure

ANN, BOB, OFF, NOBODY = "ann@dest.example", "bob@dest.example", "off@dest.example", "who@dest.example"
PASSWORD = "correct horse"
ALL = tuple(Mechanism)
KEY = bytes(range(32))


class Given:
    """Domains with ann, whose password every mechanism has, bob, who has none of these secrets, and a disabled one."""

    def __init__(self, key: bytes = KEY, mechanisms: Sequence[str] = ALL) -> None:
        self.records = MemoryDirectoryRecords(f"mailbox {ANN}", f"mailbox {BOB}", f"mailbox {OFF} disabled")
        self.records.allow("dest.example", *mechanisms)
        for address in (ANN, OFF):
            self.records.set_password(address, "hash")
            self.records.set_secrets(address, sealed_secrets(LoginKey(KEY), PASSWORD, "hash", address, ALL))
        self.records.set_password(BOB, "hash of bob")
        self.join(key)

    def replica(self) -> "Given":
        """Another replica, with the same database and the same key."""
        other = Given()
        other.records = self.records
        other.join(KEY)
        return other

    def join(self, key: bytes) -> None:
        self.logins = Logins(self.records, FrozenClock())
        self.stored = StoredSecrets(LoginKey(key))
        scram = {mechanism: Scram(mechanism, self.logins, self.stored) for mechanism in HASHES}
        cram = CramMd5(self.logins, self.stored, "mx.dest.example")
        self.sasl = SaslQuestions(self.logins, {**scram, Mechanism.CRAM_MD5: cram})

    async def step(self, mechanism: str, *exchange: bytes, session: str = "session") -> SaslAnswer:
        return await self.sasl.answer(SaslQuestion(session, "192.0.2.1", mechanism, exchange))

    async def scram(
        self, username: str, password: str = PASSWORD, mechanism: Mechanism = Mechanism.SCRAM_SHA_256, gs2: str = "n,,"
    ) -> tuple[SaslAnswer, list[bytes]]:
        """Play an exchange until it ends; gives the end, and all octets."""
        client = ScramClient(HASHES[mechanism], username, password, gs2=gs2)
        exchange = [b"", client.first()]
        answer = await self.step(mechanism, *exchange)
        if answer.outcome is not SaslOutcome.CHALLENGE:
            return answer, exchange
        exchange += [answer.challenge, client.final(answer.challenge)]
        answer = await self.step(mechanism, *exchange)
        if answer.outcome is SaslOutcome.CHALLENGE:
            assert client.trusts(answer.challenge)
            exchange += [answer.challenge, b""]
            answer = await self.step(mechanism, *exchange)
        return answer, exchange

    async def cram_md5(self, username: str, password: str = PASSWORD) -> SaslAnswer:
        made = (await self.step("CRAM-MD5")).challenge
        return await self.step("CRAM-MD5", made, cram_md5(made, username, password))


@pytest.fixture
def given() -> Given:
    return Given()


@pytest.mark.parametrize(
    ("hash_name", "salt", "first", "said", "final", "proved"),
    [
        pytest.param(
            "sha1",
            "QSXCR+Q6sek8bf92",
            b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            id="RFC 5802 §5",
        ),
        pytest.param(
            "sha256",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            id="RFC 7677 §3",
        ),
    ],
)
def test_scram_is_that_of_the_rfcs(
    hash_name: str, salt: str, first: bytes, said: bytes, final: bytes, proved: bytes
) -> None:
    secret = derive("pencil", hash_name, b64decode(salt), 4096)
    begun, ended = ClientFirst.parse(first), ClientFinal.parse(final)
    assert (begun.username, begun.authorization) == ("user", "")
    assert messages.server_first(messages.nonce_of(said), secret) == said
    assert (ended.binding, ended.nonce) == (b"n,,", messages.nonce_of(said))
    signed = messages.auth_message(begun, said, ended)
    assert messages.is_right(secret, hash_name, messages.client_key(secret, hash_name, signed, ended.proof))
    assert messages.server_final(secret, hash_name, signed) == proved


def test_names_in_scram_are_escaped() -> None:
    first = ClientFirst.parse(b"y,a=a=2Cb,n=x=3Dy,r=abc,z=extension")
    assert (first.gs2, first.authorization, first.username) == ("y,a=a=2Cb,", "a,b", "x=y")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"p=tls-exporter,,n=user,r=abc", id="channel binding that is not offered"),
        pytest.param(b"n,,m=needed,n=user,r=abc", id="an extension that we must know"),
        pytest.param(b"n,,n=us=er,r=abc", id="a bare equals sign in a name"),
        pytest.param(b"n,,n=,r=abc", id="no name"),
        pytest.param(b"n,,n=user,r=", id="no nonce"),
        pytest.param(b"n=user,r=abc", id="no header"),
        pytest.param(b"n,,n=us\xffer,r=abc", id="no UTF-8"),
        pytest.param(b"n,,n=us\0er,r=abc", id="NUL"),
        pytest.param(b"n,,n=user,r=" + b"x" * 5000, id="too long"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_client_first_message_that_is_none_is_malformed(given: Given, octets: bytes) -> None:
    with pytest.raises(Malformed):
        ClientFirst.parse(octets)
    assert (await given.step("SCRAM-SHA-256", b"", octets)).outcome is SaslOutcome.MALFORMED


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize("gs2", ["n,,", "y,,", f"n,a={ANN},"], ids=["n", "y", "for oneself"])
async def test_scram_lets_in_who_knows_the_password(given: Given, mechanism: Mechanism, gs2: str) -> None:
    answer, _ = await given.scram(ANN, mechanism=mechanism, gs2=gs2)
    assert (answer.outcome, answer.login) == (SaslOutcome.ACCEPTED, ANN)
    assert await given.logins.stands(ANN, answer.credential)
    given.records.set_password(ANN, "another hash")
    assert not await given.logins.stands(ANN, answer.credential)


@pytest.mark.parametrize(
    ("username", "password", "gs2", "because"),
    [
        pytest.param(ANN, "wrong", "n,,", "wrong password", id="wrong password"),
        pytest.param(NOBODY, PASSWORD, "n,,", "no such mailbox", id="nobody"),
        pytest.param("ann", PASSWORD, "n,,", "no such mailbox", id="no address"),
        pytest.param(OFF, PASSWORD, "n,,", "the mailbox is disabled", id="disabled"),
        pytest.param(BOB, PASSWORD, "n,,", "the mailbox has no secret for*", id="no such secret"),
        pytest.param(ANN, PASSWORD, f"n,a={BOB},", "to act for another*", id="for another"),
    ],
)
async def test_scram_refuses_all_others_alike(
    given: Given, username: str, password: str, gs2: str, because: str
) -> None:
    """One challenge to everybody, then the end; why is for the trace."""
    answer, exchange = await given.scram(username, password, gs2=gs2)
    assert (answer.outcome, answer.login, answer.credential) == (SaslOutcome.REFUSED, "", "")
    assert answer.because.startswith(because.rstrip("*"))
    facts = dict(part.split("=", 1) for part in exchange[2].decode().split(","))
    assert (len(b64decode(facts["s"])), facts["i"], len(exchange)) == (16, "15000", 4)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5"])
async def test_known_and_unknown_users_cost_the_same_work(
    given: Given, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """So that the time of an answer tells nothing: readings of the database, secrets opened, digests made."""
    work: list[str] = []
    for name in ("open", "digest"):
        done = getattr(LoginKey, name)

        def counted(*arguments: object, name: str = name, done: Callable[..., bytes] = done) -> bytes:
            work.append(name)
            return done(*arguments)

        monkeypatch.setattr(LoginKey, name, counted)
    costs = []
    for username in (ANN, BOB, OFF, NOBODY, "no address"):
        work.clear()
        loads = given.records.loads
        if mechanism == "CRAM-MD5":
            await given.cram_md5(username, "wrong")
        else:
            await given.scram(username, "wrong")
        costs.append((work.count("open"), work.count("digest"), given.records.loads - loads))
    assert len(set(costs)) == 1
    assert all(costs[0])


async def test_an_unknown_user_has_the_same_salt_each_time_and_from_each_replica(given: Given) -> None:
    """Else a second question would tell who is unknown."""
    salts = []
    for domains, username in ((given, NOBODY), (given, NOBODY), (Given(), NOBODY), (given, "else@dest.example")):
        _, exchange = await domains.scram(username)
        salts.append(exchange[2].split(b",")[1])
    assert salts[0] == salts[1] == salts[2] != salts[3]
    _, exchange = await Given(key=bytes(32)).scram(NOBODY)
    assert exchange[2].split(b",")[1] != salts[0]  # who has not the key cannot compute it


async def test_any_replica_goes_on_with_what_another_has_begun(given: Given) -> None:
    client = ScramClient("sha256", ANN, PASSWORD)
    said = (await given.replica().step("SCRAM-SHA-256", b"", client.first())).challenge
    exchange = (b"", client.first(), said, client.final(said))
    proof = await given.step("SCRAM-SHA-256", *exchange)
    assert client.trusts(proof.challenge)
    answer = await given.replica().step("SCRAM-SHA-256", *exchange, proof.challenge, b"")
    assert answer.outcome is SaslOutcome.ACCEPTED


async def test_an_exchange_belongs_to_its_session_and_to_our_own_words(given: Given) -> None:
    """Who has heard one, or makes up our part in it, gets nowhere."""
    answer, exchange = await given.scram(ANN)
    assert answer.outcome is SaslOutcome.ACCEPTED
    again = await given.step("SCRAM-SHA-256", *exchange, session="another")
    assert again.outcome is SaslOutcome.REFUSED
    client = ScramClient("sha256", ANN, PASSWORD)
    forged = exchange[2].replace(b"i=15000", b"i=1")
    made_up = await given.step("SCRAM-SHA-256", b"", client.first(), forged, client.final(forged))
    assert made_up.outcome is SaslOutcome.REFUSED


@pytest.mark.parametrize("binding", ["y,,", "p=tls-unique,,"])
async def test_the_header_that_the_client_began_with_is_bound_to_its_proof(given: Given, binding: str) -> None:
    client = ScramClient("sha256", ANN, PASSWORD)
    said = (await given.step("SCRAM-SHA-256", b"", client.first())).challenge
    answer = await given.step("SCRAM-SHA-256", b"", client.first(), said, client.final(said, binding=binding))
    assert answer.outcome is SaslOutcome.MALFORMED


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param((b"x",), id="an odd number"),
        pytest.param((b"ours", b"n,,n=u,r=abc"), id="a challenge before the client begins"),
        pytest.param((b"",) * 22, id="too many"),
        pytest.param((b"", b"n,,n=u,r=abc", b"r=abcdef,s=,i=1", b"nothing"), id="no client-final-message"),
        pytest.param((b"", b"n,,n=u,r=abc", b"no words of ours", b"c=biws,r=abc,p=AAAA"), id="no server-first-message"),
    ],
)
async def test_what_is_no_exchange_is_malformed(given: Given, exchange: tuple[bytes, ...]) -> None:
    assert (await given.step("SCRAM-SHA-256", *exchange)).outcome is SaslOutcome.MALFORMED


async def test_nothing_may_follow_the_proof(given: Given) -> None:
    _, exchange = await given.scram(ANN)
    answer = await given.step("SCRAM-SHA-256", *exchange[:-1], b"x")
    assert answer.outcome is SaslOutcome.MALFORMED


async def test_a_mechanism_that_the_domain_does_not_allow_is_as_a_wrong_password() -> None:
    given = Given(mechanisms=["PLAIN", "CRAM-MD5"])
    with capture_logs() as lines:
        answer, exchange = await given.scram(ANN)
    assert (answer.outcome, len(exchange)) == (SaslOutcome.REFUSED, 4)
    assert [(line["login"], line["because"]) for line in lines] == [(ANN, "its domain does not allow SCRAM-SHA-256")]


async def test_cram_md5_lets_in_who_knows_the_password(given: Given) -> None:
    answer = await given.cram_md5("Ann@Dest.example")
    assert (answer.outcome, answer.login) == (SaslOutcome.ACCEPTED, ANN)
    assert await given.logins.stands(ANN, answer.credential)


@pytest.mark.parametrize(
    ("username", "password"),
    [(ANN, "wrong"), (NOBODY, PASSWORD), (OFF, PASSWORD), (BOB, PASSWORD), ("a b", PASSWORD)],
    ids=["wrong password", "nobody", "disabled", "no such secret", "no address"],
)
async def test_cram_md5_refuses_all_others_alike(given: Given, username: str, password: str) -> None:
    answer = await given.cram_md5(username, password)
    assert (answer.outcome, answer.login) == (SaslOutcome.REFUSED, "")


async def test_cram_md5_is_rfc_2195_s() -> None:
    """Its example: the response to a challenge."""
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert cram_md5(challenge, "tim", "tanstaaftanstaaf") == b"tim b913a602c7eda7a495b4e6e7334d3890"


@pytest.mark.parametrize(
    ("made", "response"),
    [
        pytest.param(b"", b"ann@dest.example " + b"0" * 32, id="an initial response"),
        pytest.param(b"<0123456789abcdef." + b"0" * 32 + b"@mx.dest.example>", b"a " + b"0" * 32, id="made up"),
        pytest.param(None, b"ann@dest.example", id="no digest"),
        pytest.param(None, b"\xff " + b"0" * 32, id="no UTF-8"),
    ],
)
async def test_cram_md5_takes_its_own_challenge_and_a_name_with_a_digest(
    given: Given, made: bytes | None, response: bytes
) -> None:
    made = (await given.step("CRAM-MD5")).challenge if made is None else made
    assert (await given.step("CRAM-MD5", made, response)).outcome is SaslOutcome.MALFORMED


async def test_a_challenge_is_for_one_session(given: Given) -> None:
    made = (await given.step("CRAM-MD5")).challenge
    answer = await given.step("CRAM-MD5", made, cram_md5(made, ANN, PASSWORD), session="another")
    assert answer.outcome is SaslOutcome.MALFORMED
    assert (await given.step("CRAM-MD5")).challenge != made


async def test_another_key_than_that_of_admin_api_is_told() -> None:
    given = Given(key=bytes(32))
    answer, _ = await given.scram(ANN)
    assert answer.outcome is SaslOutcome.REFUSED
    assert "TRIPOST_DATABASE_KEY_FILE" in given.stored.trouble


@pytest.mark.parametrize("password_hash", ["another hash", None], ids=["replaced", "removed"])
async def test_secrets_of_a_password_that_was_changed_by_hand_are_void(given: Given, password_hash: str | None) -> None:
    """An administrator who locks somebody out in the database has locked out every mechanism."""
    given.records.set_password(ANN, password_hash)
    assert (await given.scram(ANN))[0].outcome is SaslOutcome.REFUSED
    assert (await given.cram_md5(ANN)).outcome is SaslOutcome.REFUSED
    assert "by another hand" in given.stored.trouble


@pytest.mark.parametrize("mechanism", ["GSSAPI", "X-OTHER"])
async def test_a_mechanism_that_does_not_work_here_is_refused(given: Given, mechanism: str) -> None:
    assert (await given.step(mechanism)).outcome is SaslOutcome.REFUSED


async def test_offered_is_what_works_and_some_domain_allows(given: Given) -> None:
    assert (await given.sasl.mechanisms()).mechanisms == ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN")
    given.records.allow("dest.example", "LOGIN", "GSSAPI", "SCRAM-SHA-1")
    assert (await given.sasl.mechanisms()).mechanisms == ("SCRAM-SHA-1", "LOGIN")
    without_key = SaslQuestions(given.logins, {})
    assert (await without_key.mechanisms()).mechanisms == ("LOGIN",)
    without_domain = SaslQuestions(Logins(MemoryDirectoryRecords(), FrozenClock()), {})
    assert (await without_domain.mechanisms()).mechanisms == ("PLAIN", "LOGIN")


async def test_without_the_database_the_client_is_told_to_come_back(given: Given) -> None:
    given.records.is_away = True
    with pytest.raises(TransientFailure):
        await given.scram(ANN)
    with pytest.raises(TransientFailure):
        await given.sasl.mechanisms()
