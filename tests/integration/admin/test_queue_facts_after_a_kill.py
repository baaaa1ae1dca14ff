"""admin-api is killed (SIGKILL) the moment after it has said that queued mail is dropped."""

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from postgres_server import UNPRIVILEGED, open_folder
from servers import NatsServer, free_port
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.settings import CommonSettings
from tripost_shared.spool.events import JetStreamEventReader

MESSAGE = "1k3v9q2m8f0abcde.1"
BOB = "bob@b.example"
WITHIN_SECONDS = 30.0


@contextmanager
def admin_process(home: Path, port: int, nats_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `tripost-admin-api` until the block ends, and kill it then."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIPOST_")}
    settings = {
        "TRIPOST_HOME": str(home),
        "TRIPOST_HOSTNAME": "admin.example",
        "TRIPOST_NATS_URL": nats_url,
        "TRIPOST_ADMIN_LISTEN": f"127.0.0.1:{port}",
        "TRIPOST_RUN_USER": UNPRIVILEGED,
    }
    with (home / "admin.log").open("ab") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "tripost-admin-api"], env={**clean, **settings}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def drop(home: Path, port: int) -> httpx.Response:
    token = (home / "cli" / "token").read_text().strip()
    return httpx.post(
        f"https://127.0.0.1:{port}/api/v1/queue/messages/{MESSAGE}/drop",
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=str(home / "tls" / "admin.crt")),
        trust_env=False,
    )


def until_ready(home: Path) -> None:
    give_up_at = time.monotonic() + WITHIN_SECONDS
    while b'"service ready"' not in (home / "admin.log").read_bytes():
        assert time.monotonic() < give_up_at, (home / "admin.log").read_text()
        time.sleep(0.02)


async def queue_a_message(home: Path) -> None:
    now = datetime.now(UTC)
    times = {"created_at": now, "next_attempt_at": now + timedelta(hours=1), "expires_at": now + timedelta(days=5)}
    engine = open_engine(f"sqlite+aiosqlite:///{home / 'tripost.sqlite'}")
    async with AsyncSession(engine) as session, session.begin():
        session.add(
            QueuedMessage(id=MESSAGE, reverse_path="", size_octets=6, received_at=now, content=MESSAGE, spooled=b"")
        )
        await session.flush()
        session.add(
            QueuedDelivery(
                message_id=MESSAGE, recipient=BOB, next_hop="b.example", state="deferred", attempts=1, **times
            )
        )
    await engine.dispose()


async def first_fact(nats_url: str) -> Event:
    link = await NatsLink.connect(CommonSettings(nats_url=nats_url), "domains")
    reader = JetStreamEventReader(link)
    (batch,) = await reader.fetch(1, timedelta(seconds=WITHIN_SECONDS))
    await batch.done()
    await link.close()
    return batch.events[0]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the process may write in although it gives root up."""
    folder = open_folder("tripost-admin-")
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    yield folder
    shutil.rmtree(folder)


async def test_a_drop_that_was_answered_is_told_by_the_next_process(home: Path) -> None:
    nats = NatsServer()
    port = free_port()
    with admin_process(home, port, nats.url):  # NATS is away, so that it cannot have told anybody
        until_ready(home)
        await queue_a_message(home)
        answer = drop(home, port)
        assert (answer.status_code, answer.json()["changed"]) == (200, [BOB])
    with nats, admin_process(home, port, nats.url):
        fact = await first_fact(nats.url)
    assert (fact.fact, fact.message_id, fact.recipient) == (Fact.DISCARDED, MESSAGE, BOB)
    assert fact.detail.startswith("by token ")
