"""Brings the database's documents to the tiers: after each change, at start, and whenever the two differ."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog

from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Database, current_revision
from tripost_admin_api.configuration.documents import Document
from tripost_admin_api.perseverance import FIRST_PAUSE, Failures
from tripost_admin_api.ports import Cluster, ClusterUnavailable
from tripost_shared.config.port import ConfigUnavailable, Watched
from tripost_shared.database.transactions import DatabaseUnavailable

log = structlog.get_logger()

RECONCILE_EVERY: Final = timedelta(seconds=2)  # what another replica changed and could not publish goes out from here
ANSWER_LATER_THAN: Final = timedelta(seconds=1)  # a change is answered for once it is out, but waits no longer


class SnapshotPublisher:
    """Publishes what is newer in the database than in the cluster; the revision only grows.

    Any number of replicas may run it: each publishes what it finds missing, and `Cluster.put` leaves out what is older.
    """

    def __init__(self, database: Database, cluster: Cluster) -> None:
        self._database = database
        self._cluster = cluster
        self._watched: dict[str, Watched[Any]] = {}
        self._was_away = True
        self._stopping = False
        self._wanted = asyncio.Event()
        self._settled = asyncio.Condition()
        self._failures = Failures(
            "configuration not published", (ConfigUnavailable, ClusterUnavailable, DatabaseUnavailable)
        )
        self.settled_revision = 0  # what concerns the tiers is out up to this revision
        cluster.on_regained(self._regained)

    @property
    def trouble(self) -> str:
        """Why nothing is published, in words; empty while it works, or may be about to."""
        return self._failures.trouble

    async def run(self) -> None:
        """Publish until told to stop, whatever goes wrong meanwhile."""
        while True:
            is_last = self._stopping
            self._wanted.clear()
            went_well = await self._try()
            if is_last:
                return
            if not went_well:  # what was published of it comes back as a change, which must not start it at once
                await asyncio.sleep(FIRST_PAUSE.total_seconds())
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that comes as the wait ends.
                async with asyncio.timeout(RECONCILE_EVERY.total_seconds()):
                    await self._wanted.wait()

    def stop(self) -> None:
        """Publish once more what is missing, then end `run`.

        Better than cancelling it, which may break off in the midst of the database's work.
        """
        self._stopping = True
        self._wanted.set()

    async def published(self, revision: int) -> None:
        """Publish now, and wait until that revision is out; not long, and not at all while the cluster is away."""
        self._wanted.set()
        if not self._cluster.is_connected:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LATER_THAN.total_seconds()), self._settled:
                await self._settled.wait_for(lambda: self.settled_revision >= revision)

    def _regained(self) -> None:
        self._was_away = True  # so that all is published anew: the cluster may have lost its state
        self._wanted.set()

    async def _try(self) -> bool:
        try:
            await self._reconcile()
        except Exception as error:  # an entrance: nobody else would see it, and later changes must go out
            self._failures.add(error)
            return False
        self._failures.end()
        return True

    async def _reconcile(self) -> None:
        if not self._cluster.is_connected:
            return
        was_away, self._was_away = self._was_away, False
        try:
            await self._publish_missing(everything=was_away)
        except BaseException:
            self._was_away = was_away or self._was_away
            raise

    async def _publish_missing(self, *, everything: bool) -> None:
        await self._watch()
        # The order matters: what is in force was committed before, so a database that is behind was restored.
        in_force = {key: watched.current for key, watched in self._watched.items()}
        async with self._database.reading() as session:
            ours = await documents.read_all(session)
            revision = await current_revision(session)
        if any(ours[key].revision < in_force[key].revision for key in ours):
            ours = await self._overtake(max(document.revision for document in in_force.values()))
            revision = max(document.revision for document in ours.values())
        for key, document in ours.items():
            if document.revision > in_force[key].revision or (everything and document.revision):
                await self._cluster.put(key, document)
                log.info("configuration published", key=key, revision=document.revision)
        async with self._settled:
            self.settled_revision = revision
            self._settled.notify_all()

    async def _watch(self) -> None:
        for key, kind in documents.KINDS.items():
            if key not in self._watched:
                self._watched[key] = await self._cluster.watch(key, kind)
                self._watched[key].on_change(lambda _: self._wanted.set())

    async def _overtake(self, in_force: int) -> dict[str, Document]:
        """Stamp all documents anew: the cluster has seen higher revisions than this database, a restored one."""
        log.warning("the database is older than what the cluster has, raising its revision", in_force=in_force)
        async with self._database.writing() as session:
            revision = await self._database.next_revision(session, at_least=in_force + 1)
            for key, document in (await documents.read_all(session)).items():
                await documents.write(session, key, document, revision)
            await session.flush()
            return await documents.read_all(session)
