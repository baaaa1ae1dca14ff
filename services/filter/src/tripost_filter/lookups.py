"""DNS for checks that are plain functions.

A check is written as if every answer were in memory. Where one is not, `Lookups` raises `Unanswered`; `settle` then
asks for it and runs the function again, with the answers so far. So the usual case, all answers in the cache, has no
await at all, a foreign library that knows no asyncio (pyspf) needs no thread, and an answer with TTL 0 lives exactly as
long as the evaluation that asked for it.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from tripost_filter.check import MustWait
from tripost_shared.clock import Clock
from tripost_shared.dns.port import DnsAnswer, Resolver, Status

Question = tuple[str, str]  # name, record type
Result = TypeVar("Result")

MAX_ROUNDS: Final = 64  # SPF's worst: 11 records, each with a round for its names and one for their addresses
MAX_QUESTIONS: Final = 256
TOO_LATE: Final = DnsAnswer(Status.FAILED, because="no time left for another look-up")


class Unanswered(MustWait):
    """These questions must be asked first."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(", ".join(f"{name} {record_type}" for name, record_type in questions))
        self.questions = questions


class TooManyLookups(Exception):
    """An evaluation asked for more than any honest one can need."""


class Lookups:
    """The answers of one evaluation; the same question always has the same answer in it."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: dict[Question, DnsAnswer] = {}

    @property
    def answers(self) -> Mapping[Question, DnsAnswer]:
        """Everything that the evaluation has been told so far."""
        return self._known

    @property
    def good_until(self) -> float:
        """Up to when what follows from the answers may be remembered (monotonic clock)."""
        return min((answer.good_until for answer in self._known.values()), default=math.inf)

    def get(self, name: str, record_type: str) -> DnsAnswer:
        """Give the answer; raises Unanswered."""
        question = (name, record_type)
        answer = self._known.get(question)
        if answer is None:
            answer = self._resolver.cached(name, record_type)
            if answer is None:
                raise Unanswered((question,))
            self._known[question] = answer
        return answer

    def get_all(self, questions: Sequence[Question]) -> list[DnsAnswer]:
        """Give the answers in order; raises one Unanswered for all that are missing, so that they go out together."""
        answers: list[DnsAnswer] = []
        missing: list[Question] = []
        for question in questions:
            try:
                answers.append(self.get(*question))
            except Unanswered:
                missing.append(question)
        if missing:
            raise Unanswered(missing)
        return answers

    async def ask(self, questions: Sequence[Question], within: timedelta) -> None:
        """Ask the questions side by side and keep the answers. Raises TooManyLookups."""
        if len(self._known) + len(questions) > MAX_QUESTIONS:
            raise TooManyLookups(f"more than {MAX_QUESTIONS} look-ups in one evaluation")
        if within <= timedelta(0):
            self._known.update(dict.fromkeys(questions, TOO_LATE))
        elif len(questions) == 1:
            self._known[questions[0]] = await self._resolver.resolve(*questions[0], within)
        else:
            answers = await asyncio.gather(*(self._resolver.resolve(*question, within) for question in questions))
            self._known.update(zip(questions, answers, strict=True))


async def settle(evaluate: Callable[[Lookups], Result], resolver: Resolver, clock: Clock, until: float) -> Result:
    """Run the function until it has all its answers; look-ups that have not ended at `until` count as failed.

    `until` is a time of `clock.monotonic()`. Raises TooManyLookups.
    """
    lookups = Lookups(resolver)
    for _ in range(MAX_ROUNDS):
        try:
            return evaluate(lookups)
        except Unanswered as missing:
            left = min(until - clock.monotonic(), 60.0)
            await lookups.ask(missing.questions, timedelta(seconds=left))
    raise TooManyLookups(f"more than {MAX_ROUNDS} rounds of look-ups in one evaluation")
