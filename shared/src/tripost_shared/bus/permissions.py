"""What each service may say and hear on NATS: one user a service, and nothing beyond its task. Pure.

A deployment writes this table into its nats-server's configuration (the embedded cluster does so at each start).
JetStream's own subjects: `$JS.API.…` asks (NATS ADR-1, ADR-31), `$JS.ACK.…` acknowledges, `$KV.…` and `$O.…` write to
buckets and object stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tripost_shared.contracts.bans import BANS_BUCKET
from tripost_shared.contracts.config import CONFIG_BUCKET
from tripost_shared.contracts.edges import EDGES_SUBJECTS
from tripost_shared.contracts.events import EVENTS_SUBJECT
from tripost_shared.contracts.nodes import NODES_SUBJECT
from tripost_shared.contracts.spool import MOST_PARTITIONS, SPOOL_SUBJECT

SERVICES: Final = ("edge", "filter", "domains", "admin-api")

_FILTER: Final = "filter.v1.>"
_DOMAINS: Final = "domains.v1.>"
_SPOOL: Final = f"{SPOOL_SUBJECT}.*"
_UNREADABLE: Final = "spool.unreadable"
_PARKED: Final = ("$JS.API.DIRECT.GET.SPOOL_UNREADABLE", "$JS.API.STREAM.MSG.DELETE.SPOOL_UNREADABLE")  # by hand
_SPOOL_STREAMS: Final = tuple(f"SPOOL_{number}" for number in range(MOST_PARTITIONS))  # of whatever number was set once
_SPOOL_READER: Final = "deliver"  # the consumer of each; domains can make none of that name elsewhere
_SPOOL_STATE: Final = ("$JS.API.STREAM.NAMES", f"$JS.API.CONSUMER.INFO.*.{_SPOOL_READER}")
_CONFIG_STREAM: Final = f"KV_{CONFIG_BUCKET}"
_CONFIG_KEYS: Final = f"$KV.{CONFIG_BUCKET}.*"
_GREYLIST_STREAM: Final = "KV_GREYLIST"
_GREYLIST_KEYS: Final = "$KV.GREYLIST.>"
_BANS_STREAM: Final = f"KV_{BANS_BUCKET}"
_BANS_KEYS: Final = f"$KV.{BANS_BUCKET}.>"
_CONTENT_STREAM: Final = "OBJ_CONTENT"
_CONTENT_PARTS: Final = "$O.CONTENT.>"
_EVENTS_STREAM: Final = "EVENTS"
_EVENTS_READER: Final = "tracking"
_COUNTS: Final = "counters.v1.>"
_COUNTS_STREAMS: Final = (
    *(f"COUNTERS_{group}{window}" for group in ("", "CLIENTS_", "DOMAINS_") for window in ("MINUTE", "HOUR", "DAY")),
    "TOTALS",
)
_TOTALS: Final = "totals.v1.>"
_STATE: Final = "$JS.API.STREAM.INFO.*"
_PROVISION: Final = ("$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a service may publish to and subscribe to; `answers`: it may answer what it is asked."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = True


def permissions() -> Mapping[str, Permissions]:
    """Give the permissions of each service, by the name of its NATS user."""
    trim = (*(f"$JS.API.STREAM.PURGE.{stream}" for stream in _SPOOL_STREAMS), *_PARKED)
    facts = (*_take([_EVENTS_STREAM], _EVENTS_READER), f"$JS.API.CONSUMER.INFO.{_EVENTS_STREAM}.{_EVENTS_READER}")
    take = (*_take(_SPOOL_STREAMS, _SPOOL_READER), *facts)
    counts = tuple(subject for stream in _COUNTS_STREAMS for subject in _read(stream))
    store = (*_read(_CONTENT_STREAM), _CONTENT_PARTS, f"$JS.API.STREAM.PURGE.{_CONTENT_STREAM}")
    bans = (*_read(_BANS_STREAM), _BANS_KEYS)
    return {
        "edge": Permissions(
            publish=(
                _FILTER,
                _DOMAINS,
                _SPOOL,
                *_common("edge"),
                *store,
                _COUNTS,
                _TOTALS,
                *counts,
                *bans,
                EDGES_SUBJECTS,
            ),
            subscribe=_hear("edge", _BANS_KEYS, EDGES_SUBJECTS),
        ),
        "filter": Permissions(
            publish=(*_common("filter"), *_read(_CONTENT_STREAM), *_read(_GREYLIST_STREAM), _GREYLIST_KEYS),
            subscribe=_hear("filter", _FILTER),
        ),
        "domains": Permissions(
            publish=(*(_SPOOL, _UNREADABLE, *_common("domains"), *_PROVISION, *store, *_SPOOL_STATE, *trim, *take),),
            subscribe=_hear("domains", _DOMAINS),
        ),
        "admin-api": Permissions(
            publish=(
                *(NODES_SUBJECT, *_common("admin-api"), *_PROVISION, _CONFIG_KEYS),
                *(*store, *bans, *_SPOOL_STATE, *counts),
            ),
            subscribe=_hear("admin-api"),
        ),
    }


def _common(service: str) -> tuple[str, ...]:
    """Record facts, read configuration, see whether the streams are there: what every service does."""
    return (f"{EVENTS_SUBJECT}.{service}", _STATE, *_read(_CONFIG_STREAM))


def _hear(service: str, *served: str) -> tuple[str, ...]:
    """Hear answers to own questions, questions about own state, changes of configuration, and what is served."""
    return (f"_INBOX.{service}.>", NODES_SUBJECT, _CONFIG_KEYS, *served)


def _read(stream: str) -> tuple[str, ...]:
    """Read messages of a bucket or an object store."""
    return (f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>")


def _take(streams: Sequence[str], durable: str) -> tuple[str, ...]:
    """Make the consumer of that name on these streams and no other; pull from it, acknowledge."""
    make = (f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}" for stream in streams)
    return (*make, f"$JS.API.CONSUMER.MSG.NEXT.*.{durable}", f"$JS.ACK.*.{durable}.>")
