"""The shape of a question between services."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Subject(Generic[Question, Answer]):
    """A subject that one tier asks and another answers, the load shared by the replicas of the answering tier.

    `try_after`: how long one replica may stay silent before the question goes out once more, since a replica cut off
    the network still gets questions until its connection counts as stale. `deadline` bounds all tries together.
    """

    name: str
    question: type[Question]
    answer: type[Answer]
    queue: str
    deadline: timedelta
    try_after: timedelta


class Failed(msgspec.Struct, frozen=True):
    """What a service answers when it could not: the asker treats it as no answer; `because` is for the log."""

    because: str
