"""SASL as domains answers it over a real nats-server, from a real database of either kind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from domains_service import built, running
from kdc import REALM, Kdc
from sasl_clients import ScramClient, cram_md5
from servers import NatsServer
from tripost_shared.bus.nats_bus import NatsBus
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.bus.port import Bus, NoAnswer
from tripost_shared.contracts.sasl import (
    MECHANISMS,
    SASL,
    MechanismsQuestion,
    SaslAnswer,
    SaslOutcome,
    SaslQuestion,
    sasl_of,
)
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import upgrade
from tripost_shared.database.models import Domain, Mailbox, MailboxSecret
from tripost_shared.database.transactions import writing
from tripost_shared.logins.sealing import LoginKey
from tripost_shared.logins.secrets import sealed_secrets
from tripost_shared.settings import CommonSettings, SettingsError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN = "ann@dest.example"
PASSWORD = "correct horse"
KEY = bytes(range(32))
CHOSEN = ["SCRAM-SHA-256", "CRAM-MD5", "GSSAPI"]


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "edge")
    yield NatsBus(link)
    await link.close()


async def fill(engine: AsyncEngine) -> None:
    sealed = sealed_secrets(LoginKey(KEY), PASSWORD, "hash", ANN, CHOSEN)
    async with writing(engine) as connection:
        await connection.execute(insert(Domain).values(id=1, name="dest.example", mechanisms=CHOSEN, created_at=NOW))
        mailbox = {"id": 1, "domain_id": 1, "local_part": "ann", "password_hash": "hash", "enabled": True}
        await connection.execute(insert(Mailbox).values(created_at=NOW, **mailbox))
        for mechanism, octets in sealed.items():
            row = {"mailbox_id": 1, "mechanism": mechanism, "sealed": octets, "created_at": NOW}
            await connection.execute(insert(MailboxSecret).values(**row))


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "database-key"
    path.write_text(KEY.hex())
    monkeypatch.setenv("TRIPOST_DATABASE_KEY_FILE", str(path))
    return path


async def offered(bus: Bus) -> tuple[str, ...]:
    return (await bus.ask(MECHANISMS, MechanismsQuestion())).mechanisms


async def test_a_password_is_proved_without_being_shown(
    nats: NatsServer,
    bus: Bus,
    database: AsyncEngine,
    database_url: str,
    key_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(database)

    async def step(mechanism: str, *exchange: bytes) -> SaslAnswer:
        return await bus.ask(SASL, SaslQuestion("session", "192.0.2.1", mechanism, exchange))

    async with running(built(nats, database_url, tmp_path / "home", monkeypatch)):
        assert await offered(bus) == ("SCRAM-SHA-256", "CRAM-MD5")
        made = (await step("CRAM-MD5")).challenge
        assert (await step("CRAM-MD5", made, cram_md5(made, ANN, PASSWORD))).login == ANN
        assert (await step("CRAM-MD5", made, cram_md5(made, ANN, "wrong"))).outcome is SaslOutcome.REFUSED
        client = ScramClient("sha256", ANN, PASSWORD)
        said = (await step("SCRAM-SHA-256", b"", client.first())).challenge
        final = client.final(said)
        proof = (await step("SCRAM-SHA-256", b"", client.first(), said, final)).challenge
        assert client.trusts(proof)
        assert (await step("SCRAM-SHA-256", b"", client.first(), said, final, proof, b"")).login == ANN


async def test_without_the_key_nothing_is_offered_that_needs_it(
    nats: NatsServer,
    bus: Bus,
    database: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(database)
    async with running(built(nats, database_url, tmp_path / "home", monkeypatch)):
        assert await offered(bus) == ()


def test_a_key_that_is_none_is_told_at_start(
    nats: NatsServer, sqlite_url: str, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file.write_text("no key")
    with pytest.raises(SettingsError, match="TRIPOST_DATABASE_KEY_FILE"):
        built(nats, sqlite_url, tmp_path / "home", monkeypatch)


@pytest.mark.needs("krb5kdc", "kadmin.local", "python: gssapi")
async def test_the_replica_that_has_a_kerberos_context_goes_on_with_it(
    nats: NatsServer, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'tripost.sqlite'}"
    await upgrade(url)
    engine = open_engine(url)
    await fill(engine)
    (tmp_path / "kdc").mkdir()
    with Kdc(tmp_path / "kdc") as kdc:
        user, services = kdc.keytab(f"ann@{REALM}"), kdc.keytab(f"smtp/mx.tripost.example@{REALM}")
        for name, value in kdc.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TRIPOST_DOMAINS_GSSAPI_KEYTAB", str(services))
        monkeypatch.setenv("TRIPOST_DOMAINS_GSSAPI_REALMS", f"{REALM}=dest.example")
        one, other = (built(nats, url, tmp_path / name, monkeypatch) for name in ("one", "other"))
        async with running(one), running(other):
            assert await offered(bus) == ("GSSAPI",)
            assert await log_in(bus, user) == {ANN}
    await engine.dispose()


async def log_in(bus: Bus, keytab: Path) -> set[str]:
    """Log in by several sessions at once; gives who they are. Another replica cannot go on."""
    gssapi = import_module("gssapi")
    name = gssapi.Name(f"ann@{REALM}", gssapi.NameType.kerberos_principal)
    store = {"client_keytab": f"FILE:{keytab}", "ccache": "MEMORY:ann"}
    credentials = gssapi.Credentials(name=name, usage="initiate", store=store)

    async def session(number: int) -> str:
        service = gssapi.Name("smtp@mx.tripost.example", gssapi.NameType.hostbased_service)
        context = gssapi.SecurityContext(name=service, creds=credentials, mech=gssapi.MechType.kerberos)
        exchange = [b"", await asyncio.to_thread(context.step)]
        subject = SASL
        while True:
            question = SaslQuestion(f"session {number}", "192.0.2.1", "GSSAPI", tuple(exchange))
            answer = await bus.ask(subject, question)
            if answer.outcome is not SaslOutcome.CHALLENGE:
                return answer.login
            subject = sasl_of(answer.instance)
            if context.complete:
                said = context.wrap(context.unwrap(answer.challenge).message, False).message
            else:
                said = context.step(answer.challenge) or b""
            exchange += [answer.challenge, said]

    logins = set(await asyncio.gather(*(session(number) for number in range(8))))
    with pytest.raises(NoAnswer):
        await bus.ask(SASL, SaslQuestion("session 0", "192.0.2.1", "GSSAPI", (b"", b"x", b"y", b"z")))
    return logins
