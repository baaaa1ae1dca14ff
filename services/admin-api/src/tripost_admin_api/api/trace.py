"""The trace of a message: its facts as they were recorded, and what is linked to it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Text, case, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api.models import Outgoing
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction
from tripost_shared.database.models import TrackedEvent, TrackedMessage
from tripost_shared.mail.identifier import session_of

# Facts of one moment, as one leads to the other: edge before domains, an acceptance before what became of it.
CAUSAL_ORDER: Final = (
    Fact.REFUSED,
    Fact.ACCEPTED,
    Fact.EXPANDED,
    Fact.DEFERRED,
    Fact.HELD,
    Fact.RELEASED,
    Fact.DELIVERED,
    Fact.RELAYED,
    Fact.FAILED,
    Fact.BOUNCED,
    Fact.DISCARDED,
)
MOST_FACTS = 2000
DSN_IS_MADE_WITHIN = timedelta(minutes=10)  # of the fact that tells of it


class MessageOut(Outgoing):
    """A message, or a session that was refused before a message began. `status` is its newest settling fact."""

    id: str
    session_id: str
    first_at: datetime
    status: str
    direction: str
    client: str
    login: str
    reverse_path: str | None = Field(description="Empty for the null one; null when none was given.")
    recipients: list[str]
    subject: str
    size_octets: int


class Recorded(BaseModel):
    """What is read back: a newer release may have recorded more."""

    model_config = ConfigDict(extra="ignore")


class ReplyOut(Recorded):
    """An SMTP reply."""

    code: int
    enhanced: str = ""
    text: str = ""


class FindingOut(Recorded):
    """What one check found, with its evidence."""

    check: str
    result: str
    score: float = 0.0
    because: str = ""
    refuse_with: ReplyOut | None = None
    degraded: bool = False
    evidence: dict[str, str] = {}
    elapsed_ms: float = 0.0


class FactOut(Recorded):
    """One fact. `message_id` is the session's id for what happened before a transaction."""

    id: str
    message_id: str
    at: datetime
    fact: str
    service: str
    stage: str = ""
    recipient: str = ""
    next_hop: str = ""
    reply: str = ""
    detail: str = ""
    related: str = ""
    direction: str = ""
    client: str = ""
    helo: str = ""
    login: str = ""
    reverse_path: str | None = None
    recipients: list[str] = []
    size_octets: int = 0
    subject: str = ""
    tls: str = ""
    score: float = 0.0
    action: str = Field("", description="What the filter's verdict was: `accept`, `tag`, `reject` …; empty for none.")
    rule: str = Field("", description="What decided the verdict.")
    intended: str = Field("", description="The action that monitor mode held back.")
    findings: list[FindingOut] = []


class RelatedOut(Outgoing):
    """Another message: `bounce` is the DSN about this one, `original` the one that this DSN is about."""

    id: str
    relation: str
    status: str | None = Field(description="Null when nothing is known of it.")


class TraceOut(MessageOut):
    """A message with all its facts in the order of time, and the other messages of its session."""

    events: list[FactOut]
    truncated: bool = Field(description="There are more facts than are shown.")
    session_messages: list[str]
    related: list[RelatedOut]


_RANK: Final = case(
    {fact.value: rank for rank, fact in enumerate(CAUSAL_ORDER)}, value=TrackedEvent.fact, else_=len(CAUSAL_ORDER)
)


async def summaries(session: AsyncSession, rows: Sequence[TrackedMessage]) -> list[MessageOut]:
    """Show messages with their envelopes' recipients."""
    recipients: dict[str, dict[str, None]] = {row.id: {} for row in rows}
    wanted = select(TrackedEvent).where(
        TrackedEvent.message_id.in_(recipients),
        TrackedEvent.fact.in_([Fact.ACCEPTED.value, Fact.REFUSED.value]),
    )
    for event in await session.scalars(wanted.order_by(TrackedEvent.at).limit(MOST_FACTS)):
        recipients[event.message_id].update(dict.fromkeys(_recipients(event)))
    return [_summary(row, list(recipients[row.id])) for row in rows]


async def read_trace(session: AsyncSession, identifier: str) -> TraceOut | None:
    """Read all that is known of a message or a session; None when that is nothing."""
    session_id = session_of(identifier)
    in_session = select(TrackedMessage).where(TrackedMessage.session_id == session_id).order_by(TrackedMessage.first_at)
    known = {row.id: row for row in await session.scalars(in_session)}
    # A session's own facts, from before a transaction, belong to each of its messages.
    concerned = list(known) if identifier == session_id else [identifier, session_id]
    facts = (
        await session.scalars(
            select(TrackedEvent)
            .where(TrackedEvent.message_id.in_(concerned))
            .order_by(TrackedEvent.at, TrackedEvent.message_id, _RANK, TrackedEvent.id)
            .limit(MOST_FACTS + 1)
        )
    ).all()
    row = known.get(identifier) or (next(iter(known.values()), None) if identifier == session_id else None)
    if row is None:
        return None
    shown = [fact_out(fact) for fact in facts[:MOST_FACTS]]
    recipients = dict.fromkeys(recipient for fact in facts for recipient in _recipients(fact))
    summary = _summary(row, list(recipients)).model_dump() | {"id": identifier}
    return TraceOut(
        **summary,
        events=shown,
        truncated=len(facts) > MOST_FACTS,
        session_messages=[key for key in known if key not in {identifier, session_id}],
        related=await _related(session, row, shown),
    )


def fact_out(event: TrackedEvent) -> FactOut:
    """Show a fact: its columns, and the rest from its body."""
    columns = ("id", "message_id", "at", "fact", "service", "recipient")
    members: dict[str, Any] = event.body | {name: getattr(event, name) for name in columns}
    return FactOut.model_validate(members)


async def _related(session: AsyncSession, row: TrackedMessage, facts: Iterable[FactOut]) -> list[RelatedOut]:
    is_dsn = row.direction == Direction.BOUNCE
    relations = {fact.related: "bounce" if fact.fact == Fact.BOUNCED else "original" for fact in facts if fact.related}
    if is_dsn and "original" not in relations.values():
        told = select(TrackedEvent.message_id).where(
            TrackedEvent.fact == Fact.BOUNCED.value,
            TrackedEvent.at.between(row.first_at - DSN_IS_MADE_WITHIN, row.first_at + DSN_IS_MADE_WITHIN),
            cast(TrackedEvent.body["related"], Text) == f'"{row.id}"',
        )
        relations.update(dict.fromkeys(await session.scalars(told.limit(10)), "original"))
    rows = await session.scalars(select(TrackedMessage).where(TrackedMessage.id.in_(relations)))
    statuses = {known.id: known.status for known in rows}
    return [RelatedOut(id=key, relation=relation, status=statuses.get(key)) for key, relation in relations.items()]


def _recipients(event: TrackedEvent) -> list[str]:
    if event.fact not in {Fact.ACCEPTED, Fact.REFUSED}:
        return []
    listed = event.body.get("recipients") or ()
    return [*listed, *([event.recipient] if event.recipient else [])]


def _summary(row: TrackedMessage, recipients: list[str]) -> MessageOut:
    return MessageOut(
        id=row.id,
        session_id=row.session_id,
        first_at=row.first_at,
        status=row.status,
        direction=row.direction,
        client=row.client,
        login=row.login,
        reverse_path=row.reverse_path,
        recipients=recipients,
        subject=row.subject,
        size_octets=row.size_octets,
    )
