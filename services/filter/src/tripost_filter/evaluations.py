"""Remembering what an evaluation on DNS answers came to.

A result depends on its key and on the answers that were asked for. So it holds as long as the resolver remembers just
these answers; once one of them has expired, or changed, there is no result, and the evaluation is run anew. It never
outlives a TTL, and an answer with TTL 0 makes a result that is never used again.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tripost_filter.lookups import Question
from tripost_shared.dns.port import DnsAnswer, Resolver

Result = TypeVar("Result")

MOST_REMEMBERED: Final = 4096
MOST_ANSWERS: Final = 24  # of one evaluation: an SPF policy with all of its ten terms that look up
MOST_CHARACTERS: Final = 4096  # of its answers together: with it the memory is bounded by some 20 MB


@dataclass(frozen=True, slots=True)
class _Evaluation(Generic[Result]):
    result: Result
    questions: tuple[Question, ...]
    answers: tuple[DnsAnswer, ...]


class Evaluations(Generic[Result]):
    """The latest results by key; the least used go when there are too many."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._by_key: OrderedDict[Hashable, _Evaluation[Result]] = OrderedDict()

    def recall(self, key: Hashable) -> Result | None:
        """Give the result if every answer it rests on still stands."""
        evaluation = self._by_key.get(key)
        if evaluation is None:
            return None
        for (name, record_type), answer in zip(evaluation.questions, evaluation.answers, strict=True):
            if self._resolver.cached(name, record_type) is not answer:
                del self._by_key[key]
                return None
        self._by_key.move_to_end(key)
        return evaluation.result

    def remember(self, key: Hashable, result: Result, answers: Mapping[Question, DnsAnswer]) -> None:
        """Keep a result with the answers that its evaluation was given; without any there is nothing to spare."""
        characters = sum(len(record) for answer in answers.values() for record in answer.records)
        if not 0 < len(answers) <= MOST_ANSWERS or characters > MOST_CHARACTERS:
            return
        self._by_key[key] = _Evaluation(result, tuple(answers), tuple(answers.values()))
        if len(self._by_key) > MOST_REMEMBERED:
            self._by_key.popitem(last=False)
