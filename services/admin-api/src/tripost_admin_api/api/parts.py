"""What request handlers work with, and how they get at it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from tripost_admin_api.access.actor import Actor
from tripost_admin_api.access.authentication import Authenticator, NotAuthenticated, confirm
from tripost_admin_api.access.passwords import Passwords
from tripost_admin_api.access.roll import TokenRoll
from tripost_admin_api.api.problems import not_authenticated
from tripost_admin_api.configuration.changes import Change, Database
from tripost_admin_api.configuration.dropped_contents import DroppedContents
from tripost_admin_api.configuration.publishing import SnapshotPublisher
from tripost_admin_api.configuration.queue_facts import FactPublisher
from tripost_admin_api.ports import Cluster
from tripost_shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """Joined once, in app.py."""

    database: Database
    cluster: Cluster
    publisher: SnapshotPublisher
    passwords: Passwords
    authenticator: Authenticator
    roll: TokenRoll
    facts: FactPublisher
    dropped: DroppedContents
    clock: Clock
    session_lifetime: timedelta
    home: Path  # where what we write lies: the embedded cluster's state, or a volume
    certificate_trouble: Callable[[], str]  # what keeps a renewed certificate from coming into force; "" for nothing
    started: asyncio.Event = field(default_factory=asyncio.Event)  # the schema is up to date, the operator exists

    def troubles(self) -> list[str]:
        """Say what somebody should look at: work in the background that has been failing for long, our certificate."""
        troubles = (self.cluster.trouble, self.publisher.trouble, self.facts.trouble, self.certificate_trouble())
        return [trouble for trouble in troubles if trouble]

    @asynccontextmanager
    async def changing(self, actor: Actor) -> AsyncIterator[Change]:
        """Begin a change in the actor's name; raises Problem when what let them in is no longer good."""
        async with self.database.changing(actor.name) as change:
            try:
                await confirm(change.session, actor)
            except NotAuthenticated as error:
                raise not_authenticated(str(error), by_password=actor.scope is None) from None
            yield change

    @asynccontextmanager
    async def revoking(self, actor: Actor) -> AsyncIterator[Change]:
        """Begin a change that ends a token, which opens nothing from then on, not even while the database is away."""
        try:
            async with self.changing(actor) as change:
                yield change
        finally:  # also when it is not known whether it was committed
            self.roll.clear()


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


PartsNeeded = Annotated[Parts, Depends(_parts)]
ActorNeeded = Annotated[Actor, Depends(_actor)]
