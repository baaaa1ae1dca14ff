"""The streams and buckets that the tiers share; made by domains and admin-api, awaited by edge and filter.

Making them is idempotent and may be done by several at once. Sizes are bounds, not reservations on disk, but
nats-server admits only what fits its storage: where it does not, all bounds are halved until it does, and that is said.
A cluster of servers must have room for all: it is waited for.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import SECOND, JetStreamRefused, JetStreamUnavailable
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.writer import BUCKET as CONTENT_BUCKET
from tripost_shared.content.writer import STREAM as CONTENT_STREAM
from tripost_shared.contracts.bans import BANS_BUCKET
from tripost_shared.contracts.config import CONFIG_BUCKET
from tripost_shared.contracts.events import EVENTS_SUBJECT
from tripost_shared.contracts.spool import SPOOL_SUBJECT
from tripost_shared.counters.jetstream import SPANS
from tripost_shared.counters.jetstream_totals import TOTALS_STREAM, TOTALS_SUBJECT
from tripost_shared.kv.jetstream import GREYLIST_BUCKET, stream_of_bucket
from tripost_shared.settings import CommonSettings, SettingsError
from tripost_shared.spool.events import EVENTS_STREAM
from tripost_shared.spool.jetstream import UNREADABLE_STREAM, UNREADABLE_SUBJECT
from tripost_shared.spool.partitions import stream_of

log = structlog.get_logger()

GIB: Final = 1 << 30
MIB: Final = 1 << 20
MOST_HALVINGS: Final = 10
NO_CLUSTER: Final = 10074  # several replicas are wanted of a server that stands alone
NO_PEERS: Final = 10005  # fewer servers of the cluster are there, or have room, than replicas are wanted
STORAGE_EXCEEDED: Final = frozenset({10047, 10023, 10028})  # the last one: memory
NAME_IN_USE: Final = 10058
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bounds in octets, of each copy."""

    spool_partition: int = 4 * GIB
    content: int = 32 * GIB
    events: int = 2 * GIB
    greylist: int = 256 * MIB
    unreadable: int = 256 * MIB
    bans: int = 64 * MIB
    counters: int = 12 * MIB  # of each group and span of windows, in memory; a count takes about 150 octets


DEFAULT_SIZES: Final = Sizes()


def streams(partitions: int, sizes: Sizes, replicas: int = 1) -> list[Config]:
    """Describe all streams as JetStream's API has them, each on `replicas` servers of a NATS cluster."""
    spool = [
        _stream(
            stream_of(partition),
            [f"{SPOOL_SUBJECT}.{partition}"],
            sizes.spool_partition,
            duplicate_window=120 * SECOND,
        )
        for partition in range(partitions)
    ]
    described = [
        *spool,
        _stream(UNREADABLE_STREAM, [UNREADABLE_SUBJECT], sizes.unreadable),
        # The oldest facts go when nobody takes them: tracking must never stop mail.
        _stream(EVENTS_STREAM, [f"{EVENTS_SUBJECT}.*"], sizes.events, retention="workqueue", discard="old"),
        _bucket(CONFIG_BUCKET, 64 * MIB, max_msgs_per_subject=5),
        _bucket(GREYLIST_BUCKET, sizes.greylist, discard="old", allow_msg_ttl=True),
        _bucket(BANS_BUCKET, sizes.bans, discard="old", allow_msg_ttl=True),
        _stream(
            CONTENT_STREAM,
            [f"$O.{CONTENT_BUCKET}.C.>", f"$O.{CONTENT_BUCKET}.M.>"],
            sizes.content,
            allow_rollup_hdrs=True,
        ),
        *(
            _stream(
                span.stream,
                [span.subjects],
                sizes.counters,
                storage="memory",
                discard="old",
                max_age=span.max_age,
                max_msgs_per_subject=1,
                allow_msg_counter=True,
            )
            for span in SPANS
        ),
        _stream(
            TOTALS_STREAM,
            [f"{TOTALS_SUBJECT}.>"],
            16 * MIB,
            discard="old",
            max_msgs_per_subject=1,
            allow_msg_counter=True,
        ),
    ]
    return [{**config, "num_replicas": replicas} for config in described]


def _stream(name: str, subjects: list[str], max_bytes: int, **others: Any) -> Config:
    return {
        "name": name,
        "subjects": subjects,
        "max_bytes": max_bytes,
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "allow_direct": True,
        **others,
    }


def _bucket(name: str, max_bytes: int, **others: Any) -> Config:
    defaults = {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True}
    return _stream(stream_of_bucket(name), [f"$KV.{name}.>"], max_bytes, **{**defaults, **others})


async def provision(link: NatsLink, settings: CommonSettings, sizes: Sizes = DEFAULT_SIZES) -> None:
    """Make or change all streams and buckets; tries until JetStream answers, with as many servers as are wanted.

    Raises JetStreamRefused, and SettingsError when it is no cluster and several replicas are wanted.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            await _provision_as_it_fits(link, streams(settings.spool_partitions, sizes, settings.nats_replicas))
        except JetStreamUnavailable as error:
            log.warning("streams cannot be made now, trying again", because=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            return


async def wait_until_provisioned(link: NatsLink, settings: CommonSettings) -> None:
    """Return once all streams and buckets are there; waits for ever, and says what it waits for."""
    missing = [str(config["name"]) for config in streams(settings.spool_partitions, DEFAULT_SIZES)]
    pause = FIRST_PAUSE_SECONDS
    while True:
        because = "not made yet by domains or admin-api"
        try:
            while missing:
                if await _info(link, missing[0]) is None:
                    break
                missing.pop(0)
        except (JetStreamRefused, JetStreamUnavailable) as error:
            because = str(error)
        if not missing:
            return
        if pause >= 1.0:
            log.warning("waiting for streams", missing=missing, because=because)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _provision_as_it_fits(link: NatsLink, wanted: list[Config]) -> None:
    for halvings in range(MOST_HALVINGS + 1):
        shrunk = [{**config, "max_bytes": config["max_bytes"] >> halvings} for config in wanted]
        try:
            for config in shrunk:
                await _ensure(link, config)
        except JetStreamRefused as error:
            if error.number not in STORAGE_EXCEEDED or halvings == MOST_HALVINGS:
                raise _replicas_refused(error, wanted[0]["num_replicas"]) from error
        else:
            if halvings:
                log.warning(
                    "NATS has less storage than wanted, all bounds are smaller",
                    divided_by=1 << halvings,
                    spool_partition_octets=shrunk[0]["max_bytes"],
                )
            return


def _replicas_refused(error: JetStreamRefused, replicas: int) -> Exception:
    """Give what a refusal means where the number of replicas is in the way, else the refusal itself."""
    setting = f"TRIPOST_NATS_REPLICAS: {replicas}"
    if error.number == NO_CLUSTER:
        return SettingsError(f"{setting}: the NATS server is not one of a cluster, so 1 is all it can have")
    if error.number == NO_PEERS:
        return JetStreamUnavailable(f"{setting}: the NATS cluster has not so many servers that can take it: {error}")
    return error


async def _ensure(link: NatsLink, config: Config) -> None:
    present = await _info(link, config["name"])
    if present is None:
        try:
            await jetstream.call(link, f"STREAM.CREATE.{config['name']}", config)
        except JetStreamRefused as error:
            if error.number != NAME_IN_USE:  # someone else was faster, with other settings
                raise
        else:
            return
        present = await _info(link, config["name"]) or {}
    if any(present.get(key) != value for key, value in config.items()):
        await jetstream.call(link, f"STREAM.UPDATE.{config['name']}", {**present, **config})
        log.info("stream changed", stream=config["name"])


async def _info(link: NatsLink, name: str) -> dict[str, Any] | None:
    """Give a stream's configuration; None when there is none."""
    try:
        answer: dict[str, Any] = (await jetstream.call(link, f"STREAM.INFO.{name}"))["config"]
    except JetStreamRefused as error:
        if error.number in jetstream.NOT_FOUND:
            return None
        raise
    return answer
