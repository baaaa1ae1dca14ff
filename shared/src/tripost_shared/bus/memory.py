"""A bus inside one process, for tests: it behaves as NATS does, octets included, but for the network."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import msgspec

from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.port import NoAnswer, QuestionTooLarge
from tripost_shared.bus.unanswered import Unanswered
from tripost_shared.contracts.subject import Failed, Subject

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)
Octets = Callable[[bytes], Awaitable[bytes | Failed]]


class MemoryBus:
    """Questions and answers inside one process; several handlers of a subject take turns, as replicas do."""

    def __init__(self) -> None:
        self.is_connected = True  # a test may cut the line
        self.most_octets: int | None = None  # of a question, as NATS bounds it; None: there is no bound
        self._replicas: dict[str, list[Octets]] = defaultdict(list)
        self._turn = count()
        self._instances: dict[str, list[Callable[[], msgspec.Struct]]] = defaultdict(list)
        self._tries: set[asyncio.Task[bytes | Failed]] = set()

    async def ask(self, subject: Subject[Question, Answer], question: Question) -> Answer:
        """Ask the next replica, after `try_after` the one after it too; raises NoAnswer."""
        payload = encode(question)
        if self.most_octets is not None and len(payload) > self.most_octets:
            raise QuestionTooLarge(f"{subject.name}: {len(payload)} octets; told to take {self.most_octets}")
        mine: set[asyncio.Task[bytes | Failed]] = {self._try(subject.name, payload)}
        try:
            async with asyncio.timeout(subject.deadline.total_seconds()):
                done, _ = await asyncio.wait(mine, timeout=subject.try_after.total_seconds())
                if not done:
                    mine.add(self._try(subject.name, payload))
                    done, _ = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise NoAnswer(f"{subject.name}: no answer within {subject.deadline.total_seconds()} s") from None
        finally:
            for task in mine:
                task.cancel()
        answer = done.pop().result()
        if isinstance(answer, Failed):
            raise NoAnswer(f"{subject.name}: {answer.because}")
        return decode(answer, subject.answer)

    def _try(self, name: str, payload: bytes) -> "asyncio.Task[bytes | Failed]":
        replicas = self._replicas.get(name)
        if not replicas or not self.is_connected:
            raise NoAnswer(f"{name}: nobody serves it" if self.is_connected else f"{name}: not connected")
        task = asyncio.ensure_future(replicas[next(self._turn) % len(replicas)](payload))
        self._tries.add(task)
        task.add_done_callback(self._tries.discard)
        return task

    async def serve(self, subject: Subject[Question, Answer], handler: Callable[[Question], Awaitable[Answer]]) -> None:
        """Answer the subject's questions."""
        unanswered = Unanswered(subject.name)

        async def replica(payload: bytes) -> bytes | Failed:
            try:
                return encode(await handler(decode(payload, subject.question)))
            except Exception as error:
                return unanswered.note(error)

        self._replicas[subject.name].append(replica)

    def forsake(self, subject: Subject[Question, Answer]) -> None:
        """Let nobody answer the subject any more, as when all its replicas have died."""
        self._replicas.pop(subject.name, None)

    async def gather(self, name: str, answer: type[Answer], within: timedelta) -> list[Answer]:
        """Give what all instances answer, at once."""
        return [decode(encode(handler()), answer) for handler in self._instances.get(name, [])]

    async def serve_all(self, name: str, handler: Callable[[], Answer]) -> None:
        """Answer as one instance among all."""
        self._instances[name].append(handler)

    async def drain(self) -> None:
        """Take no more questions, finish those at hand."""
        self._replicas.clear()
        self._instances.clear()
        tries: set[asyncio.Task[Any]] = set(self._tries)
        if tries:
            await asyncio.wait(tries)
