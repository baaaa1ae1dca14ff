"""How the cluster does."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api.models import Outgoing
from tripost_admin_api.api.parts import Parts, PartsNeeded
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import current_revision
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.contracts.nodes import NodeStatus
from tripost_shared.contracts.queue import DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.disk_space import MEGABYTE, free_octets, is_short, room_left
from tripost_shared.nodes import instance_name

router = APIRouter(tags=["status"])

ANSWER_WITHIN: Final = timedelta(seconds=0.7)  # an instance answers in a few milliseconds, or is in trouble
DATABASE_WITHIN: Final = timedelta(seconds=8)  # with what is asked before, less than the command line's patience
# Octets: 8 of the largest messages that edge takes by default (its own limit is not known here). With less, a few that
# arrive at once, or wait in the queue, fill the content store.
SMALLEST_CONTENT_BOUND: Final = 8 * (64 << 20)
OURSELVES: Final = "admin-api"
TIERS: Final = {
    "edge": "no mail is taken in",
    "filter": "mail is answered with 451 until one does",
    "domains": "recipients cannot be verified, and nothing is delivered",
}


class NodeOut(Outgoing):
    """One instance of a service."""

    service: str
    instance: str
    version: str
    started_at: datetime
    ready: bool
    config_revision: int
    details: dict[str, str]
    troubles: list[str] = Field(description="What somebody should look at, in the instance's own words.")


class QueueNumbers(Outgoing):
    """The deferred queue."""

    messages: int
    deferred: int
    held: int
    attempting: int
    oldest_received_at: datetime | None


class SpoolOut(Outgoing):
    """What is accepted and not yet settled, in bundles of one message or a few."""

    waiting: int = Field(description="Not taken by domains yet.")
    attempted: int = Field(description="Taken by domains, and not yet acknowledged.")
    octets: int
    partitions: int


class StatusOut(Outgoing):
    """The cluster. `problems` says in words what an operator should look at; empty when all is well.

    `revision` and `queue` are null while the database cannot be reached.
    """

    problems: list[str]
    revision: int | None
    published_revision: int
    database: str = Field(description="Its kind, or `cannot be reached: …`.")
    nats_connected: bool
    nodes: list[NodeOut]
    queue: QueueNumbers | None
    spool: SpoolOut | None


class HealthOut(Outgoing):
    """Whether admin-api itself can do its work."""

    ready: bool
    database: bool
    nats: bool


@dataclass(frozen=True, slots=True)
class _Told:
    """What the database tells. `database`: its kind, or why it cannot be reached, and then nothing else is known.

    `newest`: the last revision that concerns the tiers.
    """

    database: str
    revision: int | None = None
    newest: int = 0
    queue: QueueNumbers | None = None


@router.get("/health")
async def show_health(parts: PartsNeeded) -> HealthOut:
    """Tell whether the database and NATS can be reached from here."""
    try:
        async with asyncio.timeout(DATABASE_WITHIN.total_seconds()), parts.database.reading() as session:
            await current_revision(session)
    except (DatabaseUnavailable, TimeoutError):
        database = False
    else:
        database = True
    nats = parts.cluster.is_connected
    return HealthOut(ready=database and nats, database=database, nats=nats)


@router.get("/status")
async def show_status(parts: PartsNeeded) -> StatusOut:
    """Show all instances, the spool, the queue, and what is wrong."""
    told = await _ask_database(parts)
    nodes, spool, problems = await _ask_cluster(parts)
    if told.queue is None:
        problems.insert(0, f"The database {told.database}. What is in the queue waits, and nothing can be changed.")
    elif parts.cluster.is_connected and parts.publisher.settled_revision < told.newest:
        problems.append(f"Changes up to revision {told.newest} have not reached the tiers yet.")
    return StatusOut(
        problems=[*_disk_problems(parts.home), *problems],
        revision=told.revision,
        published_revision=parts.publisher.settled_revision,
        database=told.database,
        nats_connected=parts.cluster.is_connected,
        nodes=[NodeOut.model_validate(node) for node in nodes],
        queue=told.queue,
        spool=spool,
    )


async def _ask_database(parts: Parts) -> _Told:
    try:
        async with asyncio.timeout(DATABASE_WITHIN.total_seconds()), parts.database.reading() as session:
            newest = max(document.revision for document in (await documents.read_all(session)).values())
            revision, queue = await current_revision(session), await _queue_numbers(session)
    except DatabaseUnavailable as error:
        return _Told(f"cannot be reached: {error}")
    except TimeoutError:
        return _Told(f"cannot be reached: no answer within {DATABASE_WITHIN.total_seconds():g} s")
    return _Told(parts.database.engine.dialect.name, revision, newest, queue)


async def _ask_cluster(parts: Parts) -> tuple[list[NodeStatus], SpoolOut | None, list[str]]:
    try:
        nodes = sorted(await parts.cluster.nodes(ANSWER_WITHIN), key=lambda node: (node.service, node.instance))
        spool = SpoolOut.model_validate(await parts.cluster.spool())
        content_bound = await parts.cluster.content_bound()
    except ClusterUnavailable as error:
        return [], None, [f"NATS is not reachable, so no service can work: {error}", *parts.troubles()]
    answering = {node.service for node in nodes}
    problems = [f"No {tier} answers: {meaning}." for tier, meaning in TIERS.items() if tier not in answering]
    problems += [f"{node.service} {node.instance} is not ready." for node in nodes if not node.ready]
    problems += [f"{node.service} {node.instance}: {trouble}" for node in nodes for trouble in node.troubles]
    if (OURSELVES, instance_name()) not in {(node.service, node.instance) for node in nodes}:
        problems += parts.troubles()  # nobody else tells of them
    return nodes, spool, [*problems, *_content_problems(content_bound)]


def _content_problems(bound: int | None) -> list[str]:
    """Say that the content store is small: its bound was chosen when nats-server had little storage. Pure."""
    if bound is None or bound >= SMALLEST_CONTENT_BOUND:
        return []
    wanted = SMALLEST_CONTENT_BOUND // MEGABYTE
    return [
        f"The content store may hold {bound // MEGABYTE} MB, which is less than {wanted} MB: a large message, or a few,"
        " are answered with 451. NATS had little storage when it was started: make room, and restart nats-server."
    ]


def _disk_problems(folder: Path) -> list[str]:
    """Say that the disk is short of room: what else is wrong may follow from that. None where there is no folder.

    Whether it was full before is not known here, and nats-server may refuse mail until there is enough again.
    """
    try:
        free = free_octets(folder)
    except OSError:
        return []
    room = room_left(folder, free)
    said = f"{room[0].upper()}{room[1:]}: make room, or mail is answered with 451."
    return [said] if is_short(free, was_short=True) else []


async def _queue_numbers(session: AsyncSession) -> QueueNumbers:
    messages, oldest = (
        await session.execute(select(func.count(QueuedMessage.id), func.min(QueuedMessage.received_at)))
    ).one()
    counted = select(QueuedDelivery.state, func.count()).group_by(QueuedDelivery.state)
    by_state: dict[str, int] = dict((await session.execute(counted)).all())
    return QueueNumbers(
        messages=messages,
        deferred=by_state.get(DeliveryState.DEFERRED, 0),
        held=by_state.get(DeliveryState.HELD, 0),
        attempting=by_state.get(DeliveryState.ATTEMPTING, 0),
        oldest_received_at=oldest,
    )
