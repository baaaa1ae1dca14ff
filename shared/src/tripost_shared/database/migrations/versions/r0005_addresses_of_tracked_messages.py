"""Tracking: senders, recipients and logins as messages are found by them, filled from what is there.

Two indexes go that no search could use: both were of addresses as they were written, in any case. A message that a
replica of the release before records while it still runs beside this one is found by its id and time only.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

MOMENT = sa.DateTime(timezone=True)
JSON_TEXT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
LONGEST = 400  # characters of an address
AT_ONCE = 500  # messages in memory

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MESSAGES = sa.table(
    "tracked_messages",
    sa.column("id"),
    sa.column("first_at", MOMENT),
    sa.column("reverse_path"),
    sa.column("sender_local_part"),
    sa.column("sender_domain"),
)
EVENTS = sa.table(
    "tracked_events",
    sa.column("message_id"),
    sa.column("fact"),
    sa.column("recipient"),
    sa.column("body", JSON_TEXT),
)
ADDRESSES = sa.table(
    "tracked_addresses",
    sa.column("message_id"),
    sa.column("role"),
    sa.column("domain"),
    sa.column("local_part"),
    sa.column("first_at_us"),
)


def upgrade() -> None:
    """Bring the schema from 0004 to 0005."""
    op.create_table(
        "tracked_addresses",
        sa.Column("message_id", sa.String(32), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("domain", sa.String(LONGEST), nullable=False),
        sa.Column("local_part", sa.String(LONGEST), nullable=False),
        sa.Column("first_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "role", "domain", "local_part", name="pk_tracked_addresses"),
        sqlite_with_rowid=False,
    )
    op.add_column("tracked_messages", sa.Column("sender_local_part", sa.String(LONGEST)))
    op.add_column("tracked_messages", sa.Column("sender_domain", sa.String(LONGEST)))
    op.drop_index("ix_tracked_events_recipient", "tracked_events")
    op.drop_index("ix_tracked_messages_reverse_path", "tracked_messages")
    _fill(op.get_bind())
    op.create_index(
        "ix_tracked_addresses_address",
        "tracked_addresses",
        ["domain", "role", "local_part", "first_at_us", "message_id"],
    )
    op.create_index(
        "ix_tracked_messages_sender", "tracked_messages", ["sender_domain", "sender_local_part", "first_at", "id"]
    )


def _fill(connection: sa.Connection) -> None:
    """Add what the messages that are there are found by, a bounded number of them in memory at a time."""
    known = sa.select(MESSAGES.c.id, MESSAGES.c.first_at, MESSAGES.c.reverse_path).order_by(MESSAGES.c.id)
    done = ""
    while True:
        messages = connection.execute(known.where(MESSAGES.c.id > done).limit(AT_ONCE)).all()
        if not messages:
            return
        _fill_senders(connection, messages)
        _fill_addresses(connection, messages)
        done = messages[-1].id


def _fill_senders(connection: sa.Connection, messages: Sequence[Any]) -> None:
    senders = [
        {"key": row.id, **_halves("sender_", row.reverse_path)} for row in messages if row.reverse_path is not None
    ]
    if senders:
        change = sa.update(MESSAGES).where(MESSAGES.c.id == sa.bindparam("key"))
        values: dict[str, Any] = {name: sa.bindparam(name) for name in ("sender_local_part", "sender_domain")}
        connection.execute(change.values(values), senders)


def _fill_addresses(connection: sa.Connection, messages: Sequence[Any]) -> None:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(ADDRESSES)
    first_at_us = {row.id: _microseconds(row.first_at) for row in messages}
    facts = connection.execute(sa.select(EVENTS).where(EVENTS.c.message_id.in_(first_at_us)))
    found = {(fact.message_id, *named) for fact in facts for named in _named(fact)}
    rows = [
        {"message_id": key, "role": role, "first_at_us": first_at_us[key], **_halves("", address)}
        for key, role, address in sorted(found)
    ]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(), rows)


def _named(fact: Any) -> Iterator[tuple[str, str]]:
    """Give role and address of whom a fact names."""
    if fact.recipient and fact.fact != "bounced":
        yield "recipient", fact.recipient
    for recipient in fact.body.get("recipients") or ():
        yield "recipient", recipient
    for login in (fact.body.get("login"), fact.body.get("tried_login")):
        if login:
            yield "login", login


def _halves(prefix: str, address: str) -> dict[str, str]:
    local_part, at, domain = unicodedata.normalize("NFC", address.lower())[:LONGEST].rpartition("@")
    return {f"{prefix}local_part": local_part if at else domain, f"{prefix}domain": domain if at else ""}


def _microseconds(moment: datetime) -> int:
    """Since 1970; SQLite gives times in UTC without saying so."""
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
