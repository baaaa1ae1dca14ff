"""The directory's records read alike from a table in memory, from SQLite and from PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.adapters.sql_directory import AT_ONCE, SqlDirectoryRecords
from tripost_domains.directory.model import (
    CredentialRecord,
    DomainRecord,
    LocalPartRecord,
    RouteRecord,
    SenderRecord,
)
from tripost_domains.directory.service import Directory
from tripost_domains.ports import DirectoryRecords, DirectoryUnavailable, Loaded
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.database.engine import open_engine
from tripost_shared.database.models import Alias, Domain, Mailbox, Route, SenderGrant
from tripost_shared.database.transactions import writing
from tripost_shared.mail.address import folded

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = (
    "domain empty.example",
    "mailbox ann@dest.example",
    "mailbox bob@dest.example disabled",
    "mailbox ann@second.example",
    "alias info@dest.example ann@dest.example eve@other.example",
    "alias ann@dest.example eve@other.example",
    "alias *@dest.example bob@dest.example",
    "alias grüße@second.example ann@second.example",
    "grant ann@dest.example @news.example boss@partner.example",
    "route * smart.example:2525 encrypt",
    "route .other.example mx none",
    "route partner.example hop.partner.example:26 may anyone",
)


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note each statement while the block runs."""
    seen: list[str] = []

    def note(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


Password = Callable[[str, str], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def records(request: pytest.FixtureRequest) -> AsyncIterator[DirectoryRecords]:
    if request.param == "memory":
        memory = MemoryDirectoryRecords(*LINES)
        memory.set_password("ann@dest.example", "a hash")
        yield memory
        return
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    engine = open_engine(request.getfixturevalue(fixture))
    await fill(engine)
    yield SqlDirectoryRecords(engine)
    await engine.dispose()


async def fill(engine: AsyncEngine) -> None:
    async with writing(engine) as connection:
        for line in LINES:
            kind, name, *rest = line.split()
            await FILLERS[kind](connection, name, rest)


async def domain_id(connection: AsyncConnection, name: str) -> int:
    found = (await connection.execute(select(Domain.id).where(Domain.name == name))).scalar()
    if found is None:
        await connection.execute(insert(Domain).values(name=name, created_at=NOW))
        return await domain_id(connection, name)
    return found


async def fill_domain(connection: AsyncConnection, name: str, rest: list[str]) -> None:
    await domain_id(connection, name)


async def fill_mailbox(connection: AsyncConnection, address: str, rest: list[str]) -> None:
    local_part, _, domain = address.partition("@")
    await connection.execute(
        insert(Mailbox).values(
            domain_id=await domain_id(connection, domain),
            local_part=local_part,
            enabled=not rest,
            password_hash="a hash" if address == "ann@dest.example" else None,
            created_at=NOW,
        )
    )


async def fill_alias(connection: AsyncConnection, address: str, targets: list[str]) -> None:
    local_part, _, domain = address.partition("@")
    row = {"domain_id": await domain_id(connection, domain), "local_part": local_part, "targets": targets}
    await connection.execute(insert(Alias).values(**row, created_at=NOW))


async def fill_grant(connection: AsyncConnection, address: str, patterns: list[str]) -> None:
    local_part, _, domain = address.partition("@")
    mailbox = select(Mailbox.id).join(Domain).where(Domain.name == domain, Mailbox.local_part == local_part)
    mailbox_id = (await connection.execute(mailbox)).scalar_one()
    for pattern in patterns:
        await connection.execute(insert(SenderGrant).values(mailbox_id=mailbox_id, pattern=pattern, created_at=NOW))


async def fill_route(connection: AsyncConnection, domain: str, rest: list[str]) -> None:
    host, _, port = rest[0].rpartition(":")
    row: dict[str, Any] = {"domain": domain, "host": host or None, "tls": rest[1], "created_at": NOW}
    row |= {"port": int(port) if host else 25, "accepts_from_anyone": "anyone" in rest}
    await connection.execute(insert(Route).values(**row))


FILLERS = {
    "domain": fill_domain,
    "mailbox": fill_mailbox,
    "alias": fill_alias,
    "grant": fill_grant,
    "route": fill_route,
}


async def load(records: DirectoryRecords, domain: str, local_parts: Collection[str]) -> Loaded:
    return (await records.load({domain: local_parts}))[domain]


async def test_a_domain_comes_with_the_local_parts_asked_for(records: DirectoryRecords) -> None:
    domain, found = await load(records, "dest.example", ["ann", "bob", "info", "who"])
    assert domain == DomainRecord(is_local=True, catch_all=("bob@dest.example",))
    assert found == {
        "ann": LocalPartRecord(mailbox_enabled=True, targets=("eve@other.example",)),
        "bob": LocalPartRecord(mailbox_enabled=False),
        "info": LocalPartRecord(targets=("ann@dest.example", "eve@other.example")),
    }


async def test_local_parts_are_of_their_own_domain(records: DirectoryRecords) -> None:
    domain, found = await load(records, "second.example", ["ann", "bob", "grüße"])
    assert domain == DomainRecord(is_local=True)
    assert set(found) == {"ann", "grüße"}


@pytest.mark.parametrize("local_parts", [["ann"], []])
async def test_a_domain_of_ours_may_be_empty(records: DirectoryRecords, local_parts: list[str]) -> None:
    assert await load(records, "empty.example", local_parts) == (DomainRecord(is_local=True), {})


@pytest.mark.parametrize(
    ("domain", "route"),
    [
        pytest.param("partner.example", RouteRecord("hop.partner.example", 26, "may", True), id="the exact one"),
        pytest.param("a.b.other.example", RouteRecord(None, 25, "none"), id="one for all below a name"),
        pytest.param("else.example", RouteRecord("smart.example", 2525, "encrypt"), id="the one for all"),
        pytest.param("[192.0.2.7]", RouteRecord("smart.example", 2525, "encrypt"), id="the one for all, for a literal"),
    ],
)
async def test_a_foreign_domain_comes_with_its_most_specific_route(
    records: DirectoryRecords, domain: str, route: RouteRecord
) -> None:
    assert await load(records, domain, ["ann"]) == (DomainRecord(is_local=False, route=route), {})


async def test_many_local_parts_are_read_at_once(records: DirectoryRecords) -> None:
    names = [f"user{number}" for number in range(AT_ONCE * 2)]
    _, found = await load(records, "dest.example", [*names, "ann"])
    assert set(found) == {"ann"}


async def test_many_domains_are_read_at_once_each_with_its_own_local_parts(records: DirectoryRecords) -> None:
    """More than one statement may ask for."""
    foreign = {f"x{number}.else.example": [f"user{number}"] for number in range(AT_ONCE + 1)}
    ours = {"dest.example": ["info"], "second.example": ["ann", "info"], "empty.example": ["ann"]}
    loaded = await records.load(foreign | ours | {"a.other.example": ["ann"]})
    everywhere = DomainRecord(is_local=False, route=RouteRecord("smart.example", 2525, "encrypt"))
    assert {domain: loaded[domain] for domain in foreign} == dict.fromkeys(foreign, (everywhere, {}))
    info = LocalPartRecord(targets=("ann@dest.example", "eve@other.example"))
    assert loaded["dest.example"] == (DomainRecord(is_local=True, catch_all=("bob@dest.example",)), {"info": info})
    assert loaded["second.example"] == (DomainRecord(is_local=True), {"ann": LocalPartRecord(mailbox_enabled=True)})
    assert loaded["empty.example"] == (DomainRecord(is_local=True), {})
    assert loaded["a.other.example"] == (DomainRecord(is_local=False, route=RouteRecord(None, 25, "none")), {})


async def test_an_alias_for_hundreds_of_domains_costs_a_few_statements(database: AsyncEngine) -> None:
    """One for each would outlast the patience of who asks."""
    targets = [f"user{number}@x{number}.example" for number in range(900)]
    async with writing(database) as connection:
        await fill_alias(connection, "all@dest.example", targets)
    directory = Directory(SqlDirectoryRecords(database), FrozenClock())
    with statements() as count:
        (resolution,) = await directory.resolve_all(["all@dest.example"])
    assert len(resolution.destinations) == 900
    assert len(count) < 25
    with statements() as count:
        await directory.resolve_all([f"user@y{number}.example" for number in range(900)])
    assert len(count) < 60


@pytest.mark.parametrize(
    "letter", ["\u023a", "\u0130", "\U0001d160"], ids=["one octet more", "two letters", "never composed"]
)
async def test_a_name_that_outgrows_its_column_when_it_is_folded_is_nobodys(
    records: DirectoryRecords, letter: str
) -> None:
    """64 octets as it is given, more in the form that is looked for: unknown (5yz), not a failure of the database."""
    name = letter * (64 // len(letter.encode()))
    (resolution,) = await Directory(records, FrozenClock()).resolve_all([f"{name}@second.example"])
    assert resolution.kind is RecipientKind.UNKNOWN
    assert await records.load_credential("second.example", folded(name)) is None


async def test_a_mailbox_is_read_as_a_login(records: DirectoryRecords) -> None:
    assert await records.load_credential("dest.example", "ann") == CredentialRecord(True, "a hash")
    assert await records.load_credential("dest.example", "bob") == CredentialRecord(False, None)
    assert await records.load_credential("dest.example", "info") is None
    assert await records.load_credential("other.example", "ann") is None


async def test_a_mailbox_is_read_as_a_sender(records: DirectoryRecords) -> None:
    granted = frozenset({"@news.example", "boss@partner.example"})
    assert await records.load_sender("dest.example", "ann") == SenderRecord(True, granted)
    assert await records.load_sender("dest.example", "bob") == SenderRecord(False)
    assert await records.load_sender("dest.example", "who") is None


async def test_the_first_domain_is_the_oldest(records: DirectoryRecords) -> None:
    assert await records.first_domain() == "empty.example"


@pytest.mark.parametrize("route", ["*", ".example", "example"], ids=["all", "a top-level domain", "its name"])
async def test_a_route_for_all_never_takes_mail_from_anyone(database: AsyncEngine, route: str) -> None:
    """One wrong tick would make an open relay, also one that was made when such rows were not refused."""
    async with writing(database) as connection:
        await fill_route(connection, route, ["smart.example:25", "may", "anyone"])
    name = "example" if route == "example" else "else.example"
    domain, _ = await load(SqlDirectoryRecords(database), name, ["ann"])
    assert domain.route == RouteRecord("smart.example", 25, "may", accepts_from_anyone=False)


async def test_a_database_that_is_away_is_said_to_be(unused_tcp_port: int) -> None:
    engine = open_engine(f"postgresql://tripost@127.0.0.1:{unused_tcp_port}/tripost")
    with pytest.raises(DirectoryUnavailable):
        await load(SqlDirectoryRecords(engine), "dest.example", ["ann"])
    await engine.dispose()


async def test_a_table_that_is_missing_is_no_answer(database: AsyncEngine) -> None:
    """Neither "no such mailbox" nor a mistake of the question's: it is asked again, and what is remembered counts."""
    async with writing(database) as connection:
        await connection.execute(text("ALTER TABLE mailboxes RENAME TO away"))
    records = SqlDirectoryRecords(database)
    with pytest.raises(DirectoryUnavailable):
        await load(records, "dest.example", ["ann"])
    with pytest.raises(DirectoryUnavailable):
        await records.load_credential("dest.example", "ann")
    with pytest.raises(DirectoryUnavailable):
        await records.load_sender("dest.example", "ann")


async def test_an_address_is_found_by_indexes_alone(sqlite_url: str) -> None:
    """However many mailboxes there are. PostgreSQL, which has the same indexes, plans by the size of its tables."""
    question = (
        "EXPLAIN QUERY PLAN SELECT mailboxes.enabled FROM mailboxes JOIN domains ON domains.id = mailboxes.domain_id "
        "WHERE domains.name IN ('dest.example', 'second.example') AND mailboxes.local_part IN ('ann', 'ann+x')"
    )
    engine = open_engine(sqlite_url)
    async with engine.connect() as connection:
        plan = [row.detail for row in await connection.execute(text(question))]
    await engine.dispose()
    assert all(step.startswith("SEARCH") for step in plan), plan
