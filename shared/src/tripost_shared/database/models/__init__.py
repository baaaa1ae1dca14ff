"""The tables, by who owns them. Migrations in `migrations/` make them; a test holds the two against each other."""

from tripost_shared.database.models.administration import ApiToken, AuditEntry, ConfigDocument, ConfigRevision, Operator
from tripost_shared.database.models.base import BIG_KEY, JSON_TEXT, MAX_ADDRESS, Base, Folded, UtcDateTime
from tripost_shared.database.models.directory import (
    Alias,
    AppPassword,
    Domain,
    Mailbox,
    MailboxSecret,
    Route,
    SenderGrant,
)
from tripost_shared.database.models.queue import QueuedDelivery, QueuedMessage, QueueFact
from tripost_shared.database.models.tracking import TrackedAddress, TrackedEvent, TrackedMessage

__all__ = [
    "BIG_KEY",
    "JSON_TEXT",
    "MAX_ADDRESS",
    "Alias",
    "ApiToken",
    "AppPassword",
    "AuditEntry",
    "Base",
    "ConfigDocument",
    "ConfigRevision",
    "Domain",
    "Folded",
    "Mailbox",
    "MailboxSecret",
    "Operator",
    "QueueFact",
    "QueuedDelivery",
    "QueuedMessage",
    "Route",
    "SenderGrant",
    "TrackedAddress",
    "TrackedEvent",
    "TrackedMessage",
    "UtcDateTime",
]
