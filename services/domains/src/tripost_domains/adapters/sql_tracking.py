"""Facts as rows (the ports TrackingStore and TrackedFacts), in bulk.

One transaction writes many facts. First the messages' rows, so that replicas that write about the same message do so
one after the other; then the facts; then the status of messages that were known before, derived from all their facts;
then the recipients and logins that messages are found by.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, String, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tripost_domains.ports import FactsRefused, TrackingUnavailable
from tripost_domains.tracking.status import Seen, status_of
from tripost_domains.tracking.summary import Summary, summarise
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.tracking import halves, microseconds
from tripost_shared.database.models import TrackedAddress, TrackedEvent, TrackedMessage
from tripost_shared.database.transactions import DatabaseUnavailable, is_about_values, reading, reason_of, writing
from tripost_shared.mail.address import folded
from tripost_shared.mail.identifier import session_of

IDS_AT_ONCE: Final = 500
NUL: Final = "\x00"  # PostgreSQL takes it in no text, nor escaped in JSON
_NUL_IN_JSON: Final = rb"\u0000"

_LENGTHS: Final = {
    column.name: column.type.length
    for table in (TrackedMessage.__table__, TrackedEvent.__table__, TrackedAddress.__table__)
    for column in table.columns
    if isinstance(column.type, String) and column.type.length
}
_COLUMNS: Final = ("id", "message_id", "at", "fact", "service", "recipient")

_NOTHING_TOLD: Final = Event("", "", datetime.max.replace(tzinfo=UTC), Fact.ACCEPTED, "")

_KNOWN: Final = (
    select(TrackedMessage.id, TrackedMessage.first_at, TrackedMessage.status)
    .where(TrackedMessage.id.in_(bindparam("ids", expanding=True)))
    .order_by(TrackedMessage.id)
    .with_for_update()
)
_SEEN: Final = (
    select(
        TrackedEvent.message_id, TrackedEvent.recipient, TrackedEvent.fact, func.max(TrackedEvent.at).label("newest_at")
    )
    .where(TrackedEvent.message_id.in_(bindparam("ids", expanding=True)))
    .group_by(TrackedEvent.message_id, TrackedEvent.recipient, TrackedEvent.fact)
)
_MOVE: Final = (
    update(TrackedAddress).where(TrackedAddress.message_id == bindparam("key")).values(first_at_us=bindparam("earlier"))
)


class SqlTracking:
    """Writes, reads and purges facts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        self._add_message = insert(TrackedMessage).on_conflict_do_nothing().returning(TrackedMessage.id)
        self._add_event = insert(TrackedEvent).on_conflict_do_nothing()
        self._add_address = insert(TrackedAddress).on_conflict_do_nothing()

    async def write(self, events: Sequence[Event]) -> None:
        """Write facts and their messages' statuses in one transaction."""
        try:
            await self._write(events)
        except Exception as error:  # of whatever type: its SQLSTATE alone tells whose fault it is
            if not is_about_values(error):
                raise
            raise FactsRefused(reason_of(error)) from error

    async def _write(self, events: Sequence[Event]) -> None:
        summaries = summarise(events)
        rows = [_message_row(summaries[key]) for key in sorted(summaries)]
        async with _writing(self._engine) as connection:
            added = set((await connection.execute(self._add_message, rows)).scalars())
            await connection.execute(self._add_event, [_event_row(event) for event in events])
            known = sorted(key for key in summaries if key not in added)  # locked in one order by all, however many
            for start in range(0, len(known), IDS_AT_ONCE):
                await _update(connection, [summaries[key] for key in known[start : start + IDS_AT_ONCE]])
            addresses = [row for key, summary in summaries.items() for row in _address_rows(summary, key in added)]
            if addresses:
                await connection.execute(self._add_address, addresses)

    async def read(self, message_id: str, kinds: Collection[Fact]) -> Sequence[Event]:
        """Give a message's facts of these kinds, in the order of time."""
        wanted = (
            select(TrackedEvent.__table__)
            .where(TrackedEvent.message_id == message_id, TrackedEvent.fact.in_([kind.value for kind in kinds]))
            .order_by(TrackedEvent.at, TrackedEvent.id)
        )
        try:
            async with reading(self._engine) as connection:
                rows = (await connection.execute(wanted)).mappings().all()
        except DatabaseUnavailable as failure:
            raise TrackingUnavailable(str(failure)) from failure
        return [msgspec.convert(row["body"] | {name: row[name] for name in _COLUMNS}, Event) for row in rows]

    async def purge(self, before: datetime, at_most: int) -> int:
        """Forget up to so many messages first seen before that time.

        Those that are being written about are left for the next time, so that nobody waits for one who waits for him.
        """
        oldest = (
            select(TrackedMessage.id)
            .where(TrackedMessage.first_at < before)
            .order_by(TrackedMessage.first_at)
            .limit(at_most)
            .with_for_update(skip_locked=True)
        )
        async with _writing(self._engine) as connection:
            ids = (await connection.execute(oldest)).scalars().all()
            if ids:  # the messages first, whose rows keep out who writes about them
                await connection.execute(delete(TrackedMessage).where(TrackedMessage.id.in_(ids)))
                await connection.execute(delete(TrackedEvent).where(TrackedEvent.message_id.in_(ids)))
                await connection.execute(delete(TrackedAddress).where(TrackedAddress.message_id.in_(ids)))
        return len(ids)


async def _update(connection: AsyncConnection, summaries: Sequence[Summary]) -> None:
    """Bring the rows of messages that were known before up to date, and their summaries; raises TrackingUnavailable."""
    ids = [summary.id for summary in summaries]
    known = {row.id: row for row in await connection.execute(_KNOWN, {"ids": ids})}
    if len(known) < len(ids):  # the next try makes them anew
        raise TrackingUnavailable("messages were purged while facts about them were written")
    statuses = await _statuses(connection, ids)
    changes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for summary in summaries:
        change = _change(summary, known[summary.id], statuses[summary.id])
        summary.first_at = min(summary.first_at, known[summary.id].first_at)
        if change:
            changes.setdefault(tuple(change), []).append({"key": summary.id, **change})
    for names, parameters in changes.items():
        values: dict[str, Any] = {name: bindparam(name) for name in names}
        await connection.execute(
            update(TrackedMessage).where(TrackedMessage.id == bindparam("key")).values(values), parameters
        )
        if "first_at" in names:
            moved = [{"key": row["key"], "earlier": microseconds(row["first_at"])} for row in parameters]
            await connection.execute(_MOVE, moved)


def _change(summary: Summary, known: Row[str, datetime, str], status: str) -> dict[str, Any]:
    change = _description(summary.envelope_from) if summary.envelope_from is not None else {}
    if summary.first_at < known.first_at:
        change["first_at"] = summary.first_at
    if status != known.status:
        change["status"] = status
    return change


async def _statuses(connection: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    seen: dict[str, list[Seen]] = {}
    for row in await connection.execute(_SEEN, {"ids": ids}):
        seen.setdefault(row.message_id, []).append(Seen(row.recipient, Fact(row.fact), row.newest_at.timestamp()))
    return {key: status_of(facts).value for key, facts in seen.items()}


def _message_row(summary: Summary) -> dict[str, Any]:
    return {
        "id": summary.id,
        "session_id": session_of(summary.id),
        "first_at": summary.first_at,
        "status": status_of(summary.seen).value,
        **_description(summary.envelope_from or _NOTHING_TOLD),
    }


def _description(event: Event) -> dict[str, Any]:
    path = event.reverse_path
    local_part, domain = (None, None) if path is None else halves(_fitting("local_part", folded(path)))
    return {
        "direction": _fitting("direction", event.direction),
        "client": _fitting("client", event.client),
        "login": _fitting("login", event.login),
        "reverse_path": None if path is None else _fitting("reverse_path", path),
        "sender_local_part": local_part,
        "sender_domain": domain,
        "subject": _fitting("subject", event.subject),
        "size_octets": event.size_octets,
    }


def _address_rows(summary: Summary, is_new: bool) -> Iterator[dict[str, Any]]:
    """Give what the message is found by; of one that was known before, what it may not have been found by yet."""
    first_at_us = microseconds(summary.first_at)
    for role, address in summary.named | summary.concerned if is_new else summary.named:
        local_part, domain = halves(_fitting("local_part", address))
        yield {
            "message_id": summary.id,
            "role": role.value,
            "domain": domain,
            "local_part": local_part,
            "first_at_us": first_at_us,
        }


def _event_row(event: Event) -> dict[str, Any]:
    body = msgspec.to_builtins(event)
    for name in _COLUMNS:
        body.pop(name, None)
    return {
        "id": event.id,
        "message_id": event.message_id,
        "at": event.at,
        "fact": event.fact.value,
        "service": _fitting("service", event.service),
        "recipient": _fitting("recipient", event.recipient),
        "body": _without_nul(body) if _NUL_IN_JSON in msgspec.json.encode(body) else body,
    }


def _fitting(column: str, text: str) -> str:
    """Cut a text to its column, which PostgreSQL insists on."""
    return text[: _LENGTHS[column]].replace(NUL, "")


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(NUL, "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_nul(member) for member in value]
    return value


@asynccontextmanager
async def _writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with writing(engine) as connection:
            yield connection
    except DatabaseUnavailable as failure:
        raise TrackingUnavailable(str(failure)) from failure
