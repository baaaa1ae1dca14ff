"""SASL mechanisms on real sockets: edge carries the octets, the real answerers of domains say what they mean."""

import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from dialog import Dialog
from edge_world import EdgeWorld
from sasl_clients import ScramClient, cram_md5
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.logins import Logins
from tripost_domains.sasl.cram_md5 import CramMd5
from tripost_domains.sasl.questions import SaslQuestions
from tripost_domains.sasl.scram import Scram
from tripost_domains.sasl.stored import StoredSecrets
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.listeners import ListenerConfig, TlsMode
from tripost_shared.contracts.sasl import MECHANISMS, Mechanism, SaslAnswer, SaslOutcome, SaslQuestion, sasl_of
from tripost_shared.logins.scram import HASHES
from tripost_shared.logins.sealing import LoginKey
from tripost_shared.logins.secrets import sealed_secrets
from tripost_shared.mail.client import ListenerKind

USER, NOBODY = "user@dest.example", "who@dest.example"
PASSWORD = "correct horse"
KEY = LoginKey(bytes(range(32)))
ALL = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN")
Start = Callable[..., Awaitable[EdgeWorld]]


def in_base64(octets: bytes) -> str:
    return b64encode(octets).decode()


def challenge_of(reply: str) -> bytes:
    assert reply.startswith("334 "), reply
    return b64decode(reply[4:])


@pytest.fixture
def world(world: EdgeWorld) -> EdgeWorld:
    """The edge of other tests, with domains that know every mechanism, and one mailbox."""
    records = MemoryDirectoryRecords(f"mailbox {USER}")
    records.allow("dest.example", *ALL)
    records.set_password(USER, "hash")
    records.set_secrets(USER, sealed_secrets(KEY, PASSWORD, "hash", USER, ALL))
    logins, stored = Logins(records, FrozenClock()), StoredSecrets(KEY)
    scram = {mechanism: Scram(mechanism, logins, stored) for mechanism in HASHES}
    answerers = {**scram, Mechanism.CRAM_MD5: CramMd5(logins, stored, "mx.dest.example")}
    world.tiers.sasl = SaslQuestions(logins, answerers).answer
    world.tiers.mechanisms = ALL
    return world


@pytest.fixture
async def client(world: EdgeWorld, client_tls: ssl.SSLContext) -> AsyncIterator[Dialog]:
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        yield client


async def scram(client: Dialog, mechanism: Mechanism, username: str, password: str = PASSWORD) -> str:
    """Log in; gives the reply that ends it."""
    scram = ScramClient(HASHES[mechanism], username, password)
    reply = await client(f"C: AUTH {mechanism} {in_base64(scram.first())}\nS: 334 *")
    reply = await client(f"C: {in_base64(scram.final(challenge_of(reply)))}\nS: *")
    if reply.startswith("334 "):
        assert scram.trusts(challenge_of(reply))
        reply = await client("C:\nS: *")
    return reply


async def cram(client: Dialog, username: str, password: str = PASSWORD) -> str:
    made = challenge_of(await client("C: AUTH CRAM-MD5\nS: 334 *"))
    return await client(f"C: {in_base64(cram_md5(made, username, password))}\nS: *")


LOG_IN: dict[str, Callable[[Dialog, str, str], Awaitable[str]]] = {
    "SCRAM-SHA-256": lambda client, name, password: scram(client, Mechanism.SCRAM_SHA_256, name, password),
    "SCRAM-SHA-1": lambda client, name, password: scram(client, Mechanism.SCRAM_SHA_1, name, password),
    "CRAM-MD5": cram,
}


async def test_ehlo_offers_what_works(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    """Under TLS, on a listener where people log in; and what changes is offered as soon as it is known."""

    async def offered(listener: str, *, implicit_tls: bool = False) -> str:
        options = {"tls": client_tls, "implicit_tls": True} if implicit_tls else {}
        async with await world.dialog(listener, **options) as client:  # type: ignore[arg-type]  # options of two kinds
            await client("S: 220 *\nC: EHLO client.example")
            lines = [await client.read_line()]
            while lines[-1][3] == "-":
                lines.append(await client.read_line())
        return next((line[4:] for line in lines if "AUTH" in line), "")

    assert await offered("submissions", implicit_tls=True) == "AUTH " + " ".join(ALL)
    assert await offered("submission") == await offered("mx") == ""
    world.tiers.mechanisms = ("SCRAM-SHA-256",)
    world.edge.take_directory_change(DirectoryChange(revision=2))
    assert await offered("submissions", implicit_tls=True) == "AUTH SCRAM-SHA-256"
    world.tiers.mechanisms = ()
    world.edge.take_directory_change(DirectoryChange(revision=3))
    assert await offered("submissions", implicit_tls=True) == ""


async def test_while_domains_does_not_answer_the_mechanisms_known_last_are_offered(
    world: EdgeWorld, client_tls: ssl.SSLContext
) -> None:
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("C: EHLO c\nS: 250 *")
        world.bus.forsake(MECHANISMS)
        world.edge.take_directory_change(DirectoryChange(revision=2))
        assert (await LOG_IN["CRAM-MD5"](client, USER, PASSWORD)).startswith("235 ")


@pytest.mark.parametrize("mechanism", LOG_IN)
async def test_who_knows_the_password_is_let_in(world: EdgeWorld, client: Dialog, mechanism: str) -> None:
    assert (await LOG_IN[mechanism](client, USER, PASSWORD)).startswith("235 2.7.0 ")
    await client(f"C: AUTH {mechanism}\nS: 503 5.5.1 *")
    questions = world.tiers.questions(SaslQuestion)
    assert {(one.client_address, one.listener, one.mechanism) for one in questions} == {
        ("127.0.0.1", "submissions", mechanism)
    }
    assert PASSWORD.encode() not in b"".join(octets for one in questions for octets in one.exchange)


@pytest.mark.parametrize("mechanism", LOG_IN)
async def test_unknown_and_known_are_refused_alike(client: Dialog, world: EdgeWorld, mechanism: str) -> None:
    replies = [await LOG_IN[mechanism](client, name, "wrong") for name in (USER, NOBODY)]
    assert all(reply.startswith("535 5.7.8 Authentication credentials invalid") for reply in replies)
    facts = world.facts(Fact.REFUSED)
    assert [(event.tried_login, event.detail) for event in facts] == [
        (USER, f"{mechanism}: wrong password"),
        (NOBODY, f"{mechanism}: no such mailbox"),
    ]
    await client("C: AUTH PLAIN AHVzZXIAeA==\nS: 421 4.7.0 *\nS: <closed>")  # the third one of the session


async def test_a_password_that_is_typed_as_a_user_name_is_not_logged(client: Dialog) -> None:
    with capture_logs() as lines:
        for log_in in LOG_IN.values():
            await log_in(client, "my-secret", "x")
    assert [line["because"] for line in lines if line["event"] == "login refused"] == ["no such mailbox"] * 3
    assert "my-secret" not in str(lines)


async def test_a_user_name_is_a_text_in_the_trace(world: EdgeWorld, client: Dialog) -> None:
    await client(f"C: AUTH PLAIN {in_base64(b'x' + bytes([0, 10, 27]) + b'y' * 200 + bytes(1) + b'z')}\nS: 535 *")
    (event,) = world.facts(Fact.REFUSED)
    assert event.tried_login.isprintable()
    assert len(event.tried_login) <= 100


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("C: AUTH SCRAM-SHA-256\nS: 334 *\nC: *\nS: 501 5.7.0 *", id="cancelled"),
        pytest.param("C: AUTH CRAM-MD5 AAAA\nS: 501 5.5.2 *", id="an initial response where the server begins"),
        pytest.param("C: AUTH SCRAM-SHA-256 =\nS: 501 5.5.2 *", id="an empty initial response"),
        pytest.param("C: AUTH SCRAM-SHA-1 cD10bHMtdW5pcXVlLCxuPWEscj1i\nS: 501 5.5.2 *", id="channel binding"),
        pytest.param("C: AUTH SCRAM-SHA-256-PLUS\nS: 504 5.5.4 *", id="a mechanism that is not offered"),
        pytest.param("C: AUTH GSSAPI\nS: 504 5.5.4 *", id="one that does not work here"),
        pytest.param("C: AUTH CRAM-MD5\nS: 334 *\nC: !\nS: 501 5.5.2 *", id="no base64"),
        pytest.param("C: AUTH CRAM-MD5\nS: 334 *\nC: YQ==\nS: 501 5.5.2 *", id="no response to it"),
        pytest.param(f"C: AUTH CRAM-MD5\nS: 334 *\nC: {'A' * 13_000}\nS: 500 5.5.6 *", id="too long"),
    ],
)
async def test_what_is_no_exchange_is_refused_and_the_session_goes_on(client: Dialog, script: str) -> None:
    assert (await client(f"{script}\nC: NOOP\nS: 250 *")).startswith("250 ")


@pytest.mark.parametrize("mechanism", ALL)
async def test_no_mechanism_works_before_tls_or_without_ehlo(world: EdgeWorld, mechanism: str) -> None:
    async with await world.greeted("submission") as client:
        await client(f"C: AUTH {mechanism}\nS: 538 5.7.11 *\nC: HELO c\nS: 250 *\nC: AUTH {mechanism}\nS: 502 *")
    async with await world.greeted("mx") as client:
        await client(f"C: AUTH {mechanism}\nS: 502 *")
    assert world.tiers.questions(SaslQuestion) == []


async def test_a_listener_offers_the_mechanisms_of_its_own(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    own = ("LOGIN", "CRAM-MD5", "GSSAPI")
    kind, tls = ListenerKind.SUBMISSION, TlsMode.IMPLICIT
    await world.configure(ListenerConfig("submissions", kind=kind, tls=tls, mechanisms=own))
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 AUTH CRAM-MD5 LOGIN\nC: AUTH PLAIN\nS: 504 5.5.4 *")
        assert (await LOG_IN["CRAM-MD5"](client, USER, PASSWORD)).startswith("235 ")


async def test_guesses_by_any_mechanism_count_for_the_network(running: Start, client_tls: ssl.SSLContext) -> None:
    async def refuse(question: SaslQuestion) -> SaslAnswer:
        return (
            SaslAnswer(SaslOutcome.REFUSED, username=USER) if question.exchange else SaslAnswer(SaslOutcome.CHALLENGE)
        )

    world = await running(auth_failures_per_network=2, auth_failures_per_session=9)
    world.tiers.mechanisms, world.tiers.sasl = ALL, refuse
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        guess = "C: AUTH CRAM-MD5\nS: 334 *\nC: YQ==\nS: 535 5.7.8 *\n"
        await client(guess + guess + "C: AUTH CRAM-MD5\nS: 454 4.7.0 Too many failed *")
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True, source="127.0.0.2") as client:
        await client(guess)


async def test_without_an_answer_from_domains_it_is_a_temporary_failure(world: EdgeWorld, client: Dialog) -> None:
    await client("C: AUTH CRAM-MD5\nS: 334 *")
    world.bus.is_connected = False
    await client("C: YQ==\nS: 454 4.7.0 *")
    assert [event.stage for event in world.facts(Fact.REFUSED)] == ["auth"]


async def test_an_instance_that_has_begun_goes_on_and_a_name_that_is_none_is_not_asked(
    world: EdgeWorld, client: Dialog
) -> None:
    seen: list[tuple[bytes, ...]] = []
    begun = SaslAnswer(SaslOutcome.CHALLENGE, challenge=b"x" * 700, instance="replica1")

    async def begin(question: SaslQuestion) -> SaslAnswer:
        return begun

    async def go_on(question: SaslQuestion) -> SaslAnswer:
        seen.append(question.exchange)
        return SaslAnswer(SaslOutcome.ACCEPTED, login=USER, credential="c")

    world.tiers.sasl = begin
    await world.bus.serve(sasl_of("replica1"), go_on)
    world.tiers.mechanisms = ("GSSAPI",)
    world.edge.take_directory_change(DirectoryChange(revision=2))
    reply = await client("C: AUTH GSSAPI YQ==\nS: 334 *")
    assert challenge_of(reply) == b"x" * 700
    await client("C: Yg==\nS: 235 *")
    assert seen == [(b"", b"a", b"x" * 700, b"b")]
    begun = replace_instance(begun, "in valid.>")
    async with await world.greeted("submissions", tls=client._tls, implicit_tls=True) as other:
        await other("C: AUTH GSSAPI YQ==\nS: 334 *\nC: Yg==\nS: 454 4.7.0 *")


def replace_instance(answer: SaslAnswer, instance: str) -> SaslAnswer:
    return SaslAnswer(answer.outcome, challenge=answer.challenge, instance=instance)


async def test_an_exchange_without_end_is_cut(world: EdgeWorld, client: Dialog) -> None:
    async def ask_on(question: SaslQuestion) -> SaslAnswer:
        return SaslAnswer(SaslOutcome.CHALLENGE)

    world.tiers.sasl = ask_on
    await client("C: AUTH CRAM-MD5\nS: 334 *\n" + "C:\nS: 334 *\n" * 9 + "C:\nS: 501 5.5.2 *")
