"""What the answering side says of a question that it could not answer: to its log, and to the asker."""

import asyncio
from typing import Final

import structlog

from tripost_shared.contracts.subject import Failed
from tripost_shared.mail.failures import MailFailure

log = structlog.get_logger()

SAY_AGAIN_SECONDS: Final = 10.0


class Unanswered:
    """The unanswered questions of one subject.

    A MailFailure is expected and may come with every question, as while a database is away: it is one line without a
    trace, for all that fail within SAY_AGAIN_SECONDS. Anything else is a mistake of ours, and told with its trace; of
    that the asker learns the name alone, since its text may hold anything.
    """

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._said_at = -SAY_AGAIN_SECONDS
        self._unsaid = 0

    def note(self, error: Exception) -> Failed:
        """Log why, as from within the exception's handler; gives the answer."""
        if not isinstance(error, MailFailure):
            log.error("question failed", subject=self._subject, exc_info=error)
            return Failed(type(error).__name__)
        now = asyncio.get_running_loop().time()
        if now - self._said_at < SAY_AGAIN_SECONDS:
            self._unsaid += 1
        else:
            unsaid = {"others_before": self._unsaid} if self._unsaid else {}
            log.warning("question not answered", subject=self._subject, because=error.because, **unsaid)
            self._said_at, self._unsaid = now, 0
        return Failed(error.because)
