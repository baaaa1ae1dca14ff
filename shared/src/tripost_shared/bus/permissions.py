"""What each service may say and hear on NATS: one user a service, and nothing beyond its task. Pure.

A deployment writes this table into its nats-server's configuration (the embedded cluster does so at each start).
JetStream's own subjects are named in ADR-1 and ADR-17 of NATS: `$JS.API.…` asks, `$JS.ACK.…` acknowledges, `$KV.…` and
`$O.…` write to buckets and object stores.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tripost_shared.contracts.config import CONFIG_BUCKET
from tripost_shared.contracts.events import EVENTS_SUBJECT
from tripost_shared.contracts.nodes import NODES_SUBJECT
from tripost_shared.contracts.spool import SPOOL_SUBJECT

SERVICES: Final = ("edge", "filter", "domains", "admin-api")

_FILTER: Final = "filter.v1.>"
_DOMAINS: Final = "domains.v1.>"
_SPOOL: Final = f"{SPOOL_SUBJECT}.*"
_CONFIG: Final = f"KV_{CONFIG_BUCKET}"
_GREYLIST: Final = "KV_GREYLIST"
_CONTENT: Final = "OBJ_CONTENT"
_EVENTS: Final = "EVENTS"
_LOOK_UP: Final = ("$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES")
_PROVISION: Final = ("$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a service may publish to and subscribe to; `answers`: it may answer what it is asked."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = True


def permissions(spool_partitions: int) -> Mapping[str, Permissions]:
    """Give the permissions of each service, by the name of its NATS user."""
    spool = [f"SPOOL_{number}" for number in range(spool_partitions)]
    return {
        "edge": Permissions(
            publish=(_FILTER, _DOMAINS, _SPOOL, *_common("edge"), *_read(_CONTENT), *_write_objects(_CONTENT)),
            subscribe=_hear("edge"),
        ),
        "filter": Permissions(
            publish=(*_common("filter"), *_read(_CONTENT), *_read(_GREYLIST), *_write_keys(_GREYLIST)),
            subscribe=_hear("filter", _FILTER),
        ),
        "domains": Permissions(
            publish=(
                _SPOOL,
                *_common("domains"),
                *_PROVISION,
                *_read(_CONTENT),
                *_write_objects(_CONTENT),
                *_consume(spool),
                *_consume([_EVENTS]),
            ),
            subscribe=_hear("domains", _DOMAINS),
        ),
        "admin-api": Permissions(
            publish=(
                NODES_SUBJECT,
                *_common("admin-api"),
                *_PROVISION,
                *_write_keys(_CONFIG),
                *_read(_CONTENT),
                *_write_objects(_CONTENT),
            ),
            subscribe=_hear("admin-api"),
        ),
    }


def _common(service: str) -> tuple[str, ...]:
    """Every service records facts, reads configuration, and sees whether the streams are there."""
    return (f"{EVENTS_SUBJECT}.{service}", *_LOOK_UP, *_read(_CONFIG))


def _hear(service: str, *subjects: str) -> tuple[str, ...]:
    """Answers to its own questions, questions about its state, and what it serves."""
    return (f"_INBOX.{service}.>", NODES_SUBJECT, *subjects)


def _read(stream: str) -> tuple[str, ...]:
    """Read a bucket or an object store: single entries, and ordered consumers for watching."""
    return (
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        *_consume([stream]),
    )


def _consume(streams: Iterable[str]) -> tuple[str, ...]:
    """Make consumers on the streams, pull from them, acknowledge."""
    return tuple(
        subject
        for stream in streams
        for subject in (
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.CONSUMER.DELETE.{stream}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.ACK.{stream}.>",
            f"$JS.FC.{stream}.>",
        )
    )


def _write_keys(stream: str) -> tuple[str, ...]:
    return (f"$KV.{stream.removeprefix('KV_')}.>",)


def _write_objects(stream: str) -> tuple[str, ...]:
    """Chunks and names; a purge removes the chunks of an object that was replaced or deleted."""
    return (f"$O.{stream.removeprefix('OBJ_')}.>", f"$JS.API.STREAM.PURGE.{stream}")
