"""The trace of a message: its facts as they were recorded, and what is linked to it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api.models import Outgoing
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction
from tripost_shared.database.models import TrackedEvent, TrackedMessage
from tripost_shared.mail.identifier import session_of

# Facts of one moment, as one leads to the other: edge before domains, an acceptance before what became of it.
CAUSAL_ORDER: Final = (
    Fact.LIMIT_WARNED,
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
    Fact.REPORTED,
    Fact.DISCARDED,
)
MOST_FACTS = 2000
MOST_FACTS_IN_LIST = 100  # of each message
TELLS_OF_DSN: Final = frozenset({Fact.BOUNCED.value, Fact.REPORTED.value})
NAMES_RECIPIENTS: Final = frozenset({Fact.ACCEPTED.value, Fact.REFUSED.value})  # facts about the envelope
STAGES_OF_CONNECTION: Final = ("connect", "hello", "auth")
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
    recipients_truncated: bool = Field(description="There may be more recipients than are shown.")
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
    tried_login: str = Field("", description="The user name of an authentication that failed; it may be nobody's.")
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
    """A message with all its facts in the order of time, and the other messages of its session.

    Of what its session was refused only the connection, HELO and AUTH are among them, and only from before it.
    """

    events: list[FactOut]
    truncated: bool = Field(description="There are more facts than are shown.")
    session_messages: list[str]
    related: list[RelatedOut]


_RANK: Final = case(
    {fact.value: rank for rank, fact in enumerate(CAUSAL_ORDER)}, value=TrackedEvent.fact, else_=len(CAUSAL_ORDER)
)


async def summaries(session: AsyncSession, rows: Sequence[TrackedMessage]) -> list[MessageOut]:
    """Show messages with their envelopes' recipients."""
    facts: dict[str, list[Any]] = {row.id: [] for row in rows}
    for fact in await session.execute(_recipients_of(list(facts))):
        facts[fact.message_id].append(fact)
    items = []
    for row in rows:
        shown = facts[row.id][:MOST_FACTS_IN_LIST]
        recipients = dict.fromkeys(recipient for fact in shown for recipient in _named(fact.recipients, fact.recipient))
        items.append(_summary(row, list(recipients), truncated=len(facts[row.id]) > MOST_FACTS_IN_LIST))
    return items


def _recipients_of(identifiers: list[str]) -> Select[Any]:
    """Select whom the first facts of each message name, so that one with many facts does not use up the others' share.

    One fact more than is shown tells that there are more. What was accepted comes first: it names the whole envelope.
    """
    is_accepted = case((TrackedEvent.fact == Fact.ACCEPTED.value, 0), else_=1)
    order = (is_accepted, TrackedEvent.at, TrackedEvent.id)
    place = func.row_number().over(partition_by=TrackedEvent.message_id, order_by=order)
    numbered = (
        select(
            TrackedEvent.message_id,
            TrackedEvent.recipient,
            TrackedEvent.body["recipients"].label("recipients"),
            place.label("place"),
        )
        .where(TrackedEvent.message_id.in_(identifiers), TrackedEvent.fact.in_(NAMES_RECIPIENTS))
        .subquery()
    )
    return select(numbered).where(numbered.c.place <= MOST_FACTS_IN_LIST + 1).order_by(numbered.c.place)


async def read_trace(session: AsyncSession, identifier: str) -> TraceOut | None:
    """Read all that is known of a message or a session; None when that is nothing."""
    session_id = session_of(identifier)
    in_session = select(TrackedMessage).where(TrackedMessage.session_id == session_id).order_by(TrackedMessage.first_at)
    known = {row.id: row for row in await session.scalars(in_session)}
    row = known.get(identifier) or (next(iter(known.values()), None) if identifier == session_id else None)
    if row is None:
        return None
    concerned = TrackedEvent.message_id.in_(known) if identifier == session_id else _of_message(row)
    facts = (
        await session.scalars(
            select(TrackedEvent)
            .where(concerned)
            .order_by(TrackedEvent.at, TrackedEvent.message_id, _RANK, TrackedEvent.id)
            .limit(MOST_FACTS + 1)
        )
    ).all()
    shown = [fact_out(fact) for fact in facts[:MOST_FACTS]]
    recipients = dict.fromkeys(recipient for fact in facts for recipient in _recipients(fact))
    truncated = len(facts) > MOST_FACTS
    summary = _summary(row, list(recipients), truncated=truncated).model_dump() | {"id": identifier}
    return TraceOut(
        **summary,
        events=shown,
        truncated=truncated,
        session_messages=[key for key in known if key not in {identifier, session_id}],
        related=await _related(session, row, shown),
    )


def _of_message(row: TrackedMessage) -> ColumnElement[bool]:
    """Match a message's facts, and how its client came to it; what else its session was refused is not about it."""
    before = and_(
        TrackedEvent.message_id == row.session_id,
        TrackedEvent.at <= row.first_at,
        TrackedEvent.body["stage"].as_string().in_(STAGES_OF_CONNECTION),
    )
    return or_(TrackedEvent.message_id == row.id, before)


def fact_out(event: TrackedEvent) -> FactOut:
    """Show a fact: its columns, and the rest from its body."""
    columns = ("id", "message_id", "at", "fact", "service", "recipient")
    members: dict[str, Any] = event.body | {name: getattr(event, name) for name in columns}
    return FactOut.model_validate(members)


async def _related(session: AsyncSession, row: TrackedMessage, facts: Iterable[FactOut]) -> list[RelatedOut]:
    is_dsn = row.direction == Direction.BOUNCE
    relations = {fact.related: "bounce" if fact.fact in TELLS_OF_DSN else "original" for fact in facts if fact.related}
    if is_dsn and "original" not in relations.values():
        told = select(TrackedEvent.message_id).where(
            TrackedEvent.fact.in_(TELLS_OF_DSN),
            TrackedEvent.at.between(row.first_at - DSN_IS_MADE_WITHIN, row.first_at + DSN_IS_MADE_WITHIN),
            cast(TrackedEvent.body["related"], Text) == f'"{row.id}"',
        )
        relations.update(dict.fromkeys(await session.scalars(told.limit(10)), "original"))
    rows = await session.scalars(select(TrackedMessage).where(TrackedMessage.id.in_(relations)))
    statuses = {known.id: known.status for known in rows}
    return [RelatedOut(id=key, relation=relation, status=statuses.get(key)) for key, relation in relations.items()]


def _recipients(event: TrackedEvent) -> Sequence[str]:
    if event.fact not in NAMES_RECIPIENTS:
        return ()
    return _named(event.body.get("recipients"), event.recipient)


def _named(listed: Sequence[str] | None, one: str) -> Sequence[str]:
    """Give whom a fact names: the envelope's recipients, and the one that it is about."""
    return (*(listed or ()), *((one,) if one else ()))


def _summary(row: TrackedMessage, recipients: list[str], *, truncated: bool) -> MessageOut:
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
        recipients_truncated=truncated,
        subject=row.subject,
        size_octets=row.size_octets,
    )
