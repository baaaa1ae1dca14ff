"""The database is away: the status is told to those who were good for it before, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from admin_api import ADMIN_TOKEN, READ_TOKEN, Api
from admin_service import RunningAdmin
from postgres_server import PostgresServer
from servers import free_port
from tripost_admin_api.access.roll import GOOD_FOR
from tripost_admin_api.access.tokens import digest_of, new_token
from tripost_shared.database.models import ApiToken
from tripost_shared.database.transactions import DatabaseUnavailable, reading

V1 = "/api/v1"
READING = "tripost_admin_api.configuration.changes.reading"


def test_the_command_line_tells_the_status_while_postgresql_is_dead(
    tmp_path: Path, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token needs not have been used before."""
    monkeypatch.setenv("TRIPOST_DATABASE_URL", own_postgres.url("postgres"))
    with RunningAdmin(tmp_path, f"nats://127.0.0.1:{free_port()}") as admin:
        own_postgres.kill()
        told = admin.cli("status")
        assert told.returncode == 1
        lines = {line.partition(" ")[0]: " ".join(line.split()[1:]) for line in told.stdout.splitlines()}
        assert lines["queue"] == "unknown"
        assert lines["database"].startswith("cannot be reached: ")
        assert lines["NATS"] == "NOT CONNECTED"
        assert lines["configuration"].startswith("revision unknown")
        assert "Something is wrong: The database cannot be reached: " in told.stderr
        with admin.client() as client:
            assert client.get(f"{V1}/health").json() == {"ready": False, "database": False, "nats": False}
            assert client.get(f"{V1}/domains").status_code == 503
        own_postgres.start()
        assert admin.quick_cli("status", "-o", "json").stdout.count('"postgresql"') == 1


def test_an_admin_api_that_is_started_without_its_database_tells_the_command_line_so(
    tmp_path: Path, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPOST_DATABASE_URL", own_postgres.url("postgres"))
    nobody = f"nats://127.0.0.1:{free_port()}"
    with RunningAdmin(tmp_path, nobody):
        (tmp_path / "other").write_text(new_token())
    own_postgres.kill()
    admin = RunningAdmin(tmp_path, nobody)
    starting = admin.begin()
    try:
        told = admin.cli("status", "--url", admin.url)
        assert told.returncode == 1
        assert "Something is wrong: The database cannot be reached: " in told.stderr
        stranger = admin.cli("status", "--url", admin.url, "--token-file", str(tmp_path / "other"))
        assert (stranger.returncode, stranger.stdout) == (5, "")
        assert "The database does not answer" in stranger.stderr
        assert admin.cli("domain", "list", "--url", admin.url).returncode == 5
    finally:
        own_postgres.start()
        starting.result(30)
        admin.stop()


async def test_before_the_first_reading_the_command_lines_token_alone_opens_the_status(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = leave_own_token(api, ADMIN_TOKEN)
    cut(monkeypatch)
    status = await api.admin.get(f"{V1}/status")
    assert (status.status_code, status.json()["queue"]) == (200, None)
    assert status.json()["problems"][0].startswith("The database cannot be reached: told to be away.")
    assert (await api.admin.head(f"{V1}/health")).status_code == 200
    for path in ("session", "domains", "tokens", "policy"):
        assert (await api.admin.get(f"{V1}/{path}")).status_code == 503, path
    assert (await api.reader.get(f"{V1}/status")).status_code == 503
    for absent in ("", "\udcff"):
        token.write_bytes(absent.encode(errors="surrogateescape"))
        assert (await api.admin.get(f"{V1}/status")).status_code == 503
        assert (await api.nobody.get(f"{V1}/status", headers={"Authorization": "Bearer "})).status_code == 401


async def test_the_command_lines_token_is_removed_once_it_is_revoked(api: Api) -> None:
    """Else it would open the status again after a start without the database."""
    token = leave_own_token(api, READ_TOKEN)
    for _ in range(3):
        await api.parts.roll.read()
    assert token.read_text() == READ_TOKEN
    assert (await api.admin.delete(f"{V1}/tokens/tests-read")).status_code == 204
    await api.parts.roll.read()
    assert token.exists()  # one that is left there in this moment need not be committed yet
    await api.parts.roll.read()
    assert not token.exists()
    await api.parts.roll.read()


async def test_once_the_roll_was_read_the_command_lines_token_is_one_of_many(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.parts.roll.read()
    leave_own_token(api, "tripost_another")
    cut(monkeypatch)
    mine = {"Authorization": "Bearer tripost_another"}
    assert (await api.nobody.get(f"{V1}/status", headers=mine)).status_code == 503


def leave_own_token(api: Api, token: str) -> Path:
    """Put a token where the first start leaves the command line's; gives the file."""
    file = api.parts.home / "cli" / "token"
    file.parent.mkdir()
    file.write_text(token)
    return file


def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the database away, from now on."""

    @asynccontextmanager
    async def away(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        raise DatabaseUnavailable("told to be away")
        yield await engine.connect()

    monkeypatch.setattr(READING, away)


async def test_only_the_status_is_told_without_a_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.parts.roll.read()
    cut(monkeypatch)
    for client in (api.admin, api.reader):
        status = (await client.get(f"{V1}/status")).json()
        assert (status["database"], status["queue"], status["revision"]) == (
            "cannot be reached: told to be away",
            None,
            None,
        )
        assert status["problems"][0].startswith("The database cannot be reached: told to be away.")
        for path in ("session", "domains", "tokens", "policy", "openapi.json", "nothing"):
            assert (await client.get(f"{V1}/{path}")).status_code == 503, path
    assert (await api.admin.post(f"{V1}/status")).status_code == 503
    assert (await api.nobody.get(f"{V1}/status")).status_code == 401
    stranger = await api.nobody.get(f"{V1}/status", headers={"Authorization": "Bearer tripost_unknown"})
    assert stranger.status_code == 503


async def test_a_token_opens_the_status_no_longer_than_it_lasts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    expires_at = (api.clock.now() + timedelta(minutes=5)).isoformat()
    token = (await api.add("tokens", name="short", scope="read", expires_at=expires_at)).json()["token"]
    await api.parts.roll.read()
    cut(monkeypatch)
    mine = {"Authorization": f"Bearer {token}"}
    assert (await api.nobody.get(f"{V1}/status", headers=mine)).status_code == 200
    api.clock.advance(timedelta(minutes=5))
    assert (await api.nobody.get(f"{V1}/status", headers=mine)).status_code == 503
    assert (await api.reader.get(f"{V1}/status")).status_code == 200


async def test_what_was_known_is_forgotten_after_a_while(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.parts.roll.read()
    cut(monkeypatch)
    api.clock.advance(GOOD_FOR)
    assert (await api.reader.get(f"{V1}/status")).status_code == 200
    api.clock.advance(timedelta(seconds=1))
    assert (await api.reader.get(f"{V1}/status")).status_code == 503


async def test_a_token_that_was_revoked_opens_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.parts.roll.read()
    assert (await api.admin.delete(f"{V1}/tokens/tests-read")).status_code == 204
    cut(monkeypatch)
    assert (await api.reader.get(f"{V1}/status")).status_code == 503


async def test_a_session_that_a_new_password_has_ended_opens_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = ("admin", "correct horse")
    path = f"{V1}/operators/admin/password"
    assert (await api.admin.put(path, json={"password": auth[1]})).status_code == 204
    token = (await api.nobody.post(f"{V1}/session", auth=auth)).json()["token"]
    await api.parts.roll.read()
    assert (await api.admin.put(path, json={"password": "battery staple"})).status_code == 204
    cut(monkeypatch)
    mine = {"Authorization": f"Bearer {token}"}
    assert (await api.nobody.get(f"{V1}/status", headers=mine)).status_code == 503


async def test_a_token_that_is_revoked_while_the_roll_is_read_is_not_on_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is from before."""

    def meanwhile(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
        @asynccontextmanager
        async def read() -> AsyncIterator[AsyncConnection]:
            async with reading(engine) as connection:
                yield connection
            api.parts.roll.clear()  # as the revocation does in the end

        return read()

    monkeypatch.setattr(READING, meanwhile)
    await api.parts.roll.read()
    assert await api.parts.roll.find(digest_of(READ_TOKEN)) is None


async def test_a_token_that_the_database_has_refused_opens_nothing_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica may have revoked it."""
    await api.parts.roll.read()
    async with api.parts.database.writing() as session:
        await session.execute(delete(ApiToken).where(ApiToken.token_sha256 == digest_of(READ_TOKEN)))
    assert (await api.reader.get(f"{V1}/status")).status_code == 401
    cut(monkeypatch)
    assert (await api.reader.get(f"{V1}/status")).status_code == 503


async def test_a_database_that_is_silent_is_not_waited_for_long(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.parts.roll.read()
    soon = timedelta(seconds=0.01)
    monkeypatch.setattr("tripost_admin_api.access.authentication.ROLL_AFTER", soon)
    monkeypatch.setattr("tripost_admin_api.api.status.DATABASE_WITHIN", soon)

    @asynccontextmanager
    async def silent(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        await asyncio.Event().wait()
        yield await engine.connect()

    monkeypatch.setattr(READING, silent)
    status = (await api.reader.get(f"{V1}/status")).json()
    assert status["database"] == "cannot be reached: no answer within 0.01 s"
    assert (await api.reader.get(f"{V1}/health")).json()["database"] is False


async def test_the_roll_holds_no_token(api: Api) -> None:
    await api.parts.roll.read()
    assert await api.parts.roll.find(digest_of(ADMIN_TOKEN)) is not None
    assert await api.parts.roll.find(ADMIN_TOKEN) is None
