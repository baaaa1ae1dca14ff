"""What becomes of an attempt whose content cannot be read."""

import structlog

from tripost_domains.delivery.outcome import Outcome, deferred
from tripost_shared.content.port import ContentMissing, ContentUnavailable

log = structlog.get_logger()


def content_unread(message_id: str, error: ContentMissing | ContentUnavailable, host: str) -> Outcome:
    """Defer it. A store that is away comes back; what it has lost or damaged is for an operator to know of."""
    because = f"{type(error).__name__}: {error}"
    if isinstance(error, ContentMissing):
        log.error("content is missing or damaged", message_id=message_id, because=because)
    return deferred("4.3.0", "Content cannot be read now", host, because)
