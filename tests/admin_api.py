"""The API over a real database, with the cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy.ext.asyncio import AsyncEngine

from tripost_admin_api.access.authentication import Authenticator
from tripost_admin_api.access.passwords import Passwords
from tripost_admin_api.access.roll import TokenRoll
from tripost_admin_api.access.throttle import LoginThrottle
from tripost_admin_api.access.tokens import digest_of
from tripost_admin_api.adapters.cli_token import CliToken
from tripost_admin_api.adapters.memory_cluster import MemoryCluster
from tripost_admin_api.api.application import build_application
from tripost_admin_api.api.parts import Parts
from tripost_admin_api.configuration.changes import Database
from tripost_admin_api.configuration.dropped_contents import DroppedContents
from tripost_admin_api.configuration.publishing import SnapshotPublisher
from tripost_admin_api.configuration.queue_facts import FactPublisher
from tripost_shared.clock import FrozenClock
from tripost_shared.database.models import ApiToken, Operator
from tripost_shared.database.password_hashes import PasswordHashes
from tripost_shared.logins.sealing import LoginKey

ADMIN_TOKEN = "tripost_admin-token-of-the-tests"
READ_TOKEN = "tripost_read-token-of-the-tests"
EXPIRED_TOKEN = "tripost_expired-token-of-the-tests"
ONE_TIME_PASSWORD = "one-time-password"
LOGIN_KEY = LoginKey(bytes(range(32)))
SOON = 2.0  # seconds within which a change is in force: what is promised to operators


async def eventually(holds: Callable[[], bool], within: float = SOON) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.005)


@dataclass
class Api:
    """`admin` and `reader` send a token, `nobody` sends nothing."""

    parts: Parts
    cluster: MemoryCluster
    clock: FrozenClock
    admin: httpx.AsyncClient
    reader: httpx.AsyncClient
    nobody: httpx.AsyncClient

    async def add(self, path: str, **body: object) -> httpx.Response:
        """Add something that must be accepted."""
        answer = await self.admin.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer

    async def audited(self) -> list[dict[str, object]]:
        """Give the audit, oldest first."""
        answer = await self.admin.get("/api/v1/audit-entries", params={"limit": 1000})
        entries: list[dict[str, object]] = answer.json()["items"]
        return entries[::-1]


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def parts(database: AsyncEngine, clock: FrozenClock, tmp_path: Path) -> Parts:
    cheap = Passwords(PasswordHashes(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)), LOGIN_KEY)
    home = tmp_path / "home"
    home.mkdir()
    ours = Database(database, clock)
    cluster = MemoryCluster(clock)
    publisher = SnapshotPublisher(ours, cluster)
    roll = TokenRoll(ours, clock, CliToken(home / "cli" / "token"))
    parts = Parts(
        database=ours,
        cluster=cluster,
        publisher=publisher,
        passwords=cheap,
        authenticator=Authenticator(ours, cheap, LoginThrottle(clock), roll, clock),
        roll=roll,
        facts=FactPublisher(ours, cluster),
        dropped=DroppedContents(ours, cluster, clock),
        clock=clock,
        session_lifetime=timedelta(hours=12),
        home=home,
        certificate_trouble=lambda: "",
    )
    parts.started.set()
    return parts


@pytest.fixture
async def api(parts: Parts, clock: FrozenClock) -> AsyncIterator[Api]:
    async with parts.database.writing() as session:
        for name, token, scope, lifetime in (
            ("tests-admin", ADMIN_TOKEN, "admin", None),
            ("tests-read", READ_TOKEN, "read", None),
            ("tests-expired", EXPIRED_TOKEN, "admin", timedelta(seconds=-1)),
        ):
            expires_at = None if lifetime is None else clock.now() + lifetime
            session.add(
                ApiToken(
                    name=name, scope=scope, token_sha256=digest_of(token), created_at=clock.now(), expires_at=expires_at
                )
            )
        session.add(
            Operator(
                name="admin",
                password_hash=await parts.passwords.hash(ONE_TIME_PASSWORD),
                must_change_password=True,
                created_at=clock.now(),
            )
        )
    transport = httpx.ASGITransport(build_application(parts), raise_app_exceptions=True)

    def client(token: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=transport, base_url="https://admin.example", headers=headers)

    cluster = parts.cluster
    assert isinstance(cluster, MemoryCluster)
    async with client(ADMIN_TOKEN) as admin, client(READ_TOKEN) as reader, client("") as nobody:
        yield Api(parts, cluster, clock, admin, reader, nobody)
