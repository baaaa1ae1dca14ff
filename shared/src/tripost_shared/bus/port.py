"""The bus as services see it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

import msgspec

from tripost_shared.contracts.subject import Subject

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)


class NoAnswer(Exception):
    """Nobody answered in time, or the one who did could not do it. The message names the subject and why."""


class QuestionTooLarge(NoAnswer):
    """The question is larger than the bus ever takes: to ask again is pointless."""


class Bus(Protocol):
    """Questions and answers between services."""

    async def ask(self, subject: Subject[Question, Answer], question: Question) -> Answer:
        """Ask one replica of the answering tier, a second one after `try_after`; raises NoAnswer at the deadline.

        A question that is too large raises QuestionTooLarge at once.
        """
        ...

    async def serve(self, subject: Subject[Question, Answer], handler: Callable[[Question], Awaitable[Answer]]) -> None:
        """Answer the subject's questions, each in a task of its own, until the bus is drained.

        A handler's exception is logged, and the asker told that it failed (`Failed`), by a MailFailure also why.
        """
        ...

    async def gather(self, name: str, answer: type[Answer], within: timedelta) -> list[Answer]:
        """Ask all instances and collect what they answer within the time, or sooner when no more seem to come."""
        ...

    async def serve_all(self, name: str, handler: Callable[[], Answer]) -> None:
        """Answer as one instance among all (the other side of `gather`)."""
        ...

    async def drain(self) -> None:
        """Take no more questions, finish those at hand."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether questions can go out now."""
        ...
