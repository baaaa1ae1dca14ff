"""Tracking as domains writes it, for tests of admin-api that read it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from admin_api import Api
from tripost_domains.tracking.summary import summarise
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.tracking import halves, microseconds
from tripost_shared.database.models import TrackedAddress, TrackedEvent, TrackedMessage
from tripost_shared.mail.identifier import message_id_of, new_session_id, session_of

COLUMNS = {"id", "message_id", "at", "fact", "service", "recipient"}


class Tracking:
    """Writes what the tracking's recorder writes: a row a fact, and a row a message."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._facts = 0
        self._first_at: dict[str, datetime] = {}

    def new_id(self, transaction: int = 1) -> str:
        self._api.clock.advance(timedelta(seconds=1))
        return message_id_of(new_session_id(self._api.clock.now()), transaction)

    async def message(self, identifier: str, status: Fact, **columns: Any) -> None:
        self._first_at[identifier] = columns.pop("first_at", self._api.clock.now())
        if "reverse_path" in columns:
            columns["sender_local_part"], columns["sender_domain"] = halves(columns["reverse_path"].lower())
        async with self._api.parts.database.writing() as session:
            session.add(
                TrackedMessage(
                    id=identifier,
                    session_id=session_of(identifier),
                    first_at=self._first_at[identifier],
                    status=status.value,
                    **columns,
                )
            )

    async def fact(self, identifier: str, fact: Fact, at: datetime | None = None, **members: Any) -> None:
        async with self._api.parts.database.writing() as session:
            event = self._event(identifier, fact, at or self._api.clock.now(), members)
            session.add(row_of(event))
            summary = summarise([event])[identifier]
            for role, address in summary.named | summary.concerned:
                await session.merge(
                    TrackedAddress(
                        message_id=identifier,
                        role=role.value,
                        domain=halves(address)[1],
                        local_part=halves(address)[0],
                        first_at_us=microseconds(self._first_at[identifier]),
                    )
                )

    async def refused(self, identifier: str, recipients: Iterable[str]) -> None:
        """Each a second after the one before."""
        async with self._api.parts.database.writing() as session:
            for place, recipient in enumerate(recipients):
                at = self._api.clock.now() + timedelta(seconds=place)
                event = self._event(identifier, Fact.REFUSED, at, {"stage": "rcpt", "recipient": recipient})
                session.add(row_of(event))

    def _event(self, identifier: str, fact: Fact, at: datetime, members: dict[str, Any]) -> Event:
        self._facts += 1
        service = members.pop("service", "edge")
        return Event(id=f"fact-{self._facts}", message_id=identifier, at=at, fact=fact, service=service, **members)


def row_of(event: Event) -> TrackedEvent:
    body = {key: value for key, value in msgspec.to_builtins(event).items() if key not in COLUMNS}
    return TrackedEvent(
        id=event.id,
        message_id=event.message_id,
        at=event.at,
        fact=event.fact.value,
        service=event.service,
        recipient=event.recipient,
        body=body,
    )
