"""Questions and answers over NATS.

A question is the subject's struct in MessagePack; so is its answer. An answer with the header `Tripost-Failed` holds a
`Failed` instead, the header's value saying whether another replica might do better (`busy`) or not (`error`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from tripost_shared.bus.encoding import decode, encode
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import NO_RESPONDERS, LinkDown, NatsLink, TooLarge
from tripost_shared.bus.port import NoAnswer, QuestionTooLarge
from tripost_shared.bus.unanswered import Unanswered
from tripost_shared.contracts.subject import Failed, Subject

log = structlog.get_logger()

Question = TypeVar("Question", bound=msgspec.Struct)
Answer = TypeVar("Answer", bound=msgspec.Struct)

FAILED_FIELD: Final = b"Tripost-Failed"
ERROR_HEADER: Final = b"NATS/1.0\r\nTripost-Failed: error\r\n\r\n"
BUSY_HEADER: Final = b"NATS/1.0\r\nTripost-Failed: busy\r\n\r\n"
PATIENCE_SECONDS: Final = 1.0  # with a tier that nobody of answers: a supervisor restarts it in less
PAUSE_SECONDS: Final = 0.05
MOST_PAUSES: Final = round(PATIENCE_SECONDS / PAUSE_SECONDS)
MOST_INSTANCES: Final = 1000
QUIET_SECONDS: Final = 0.15


class NatsBus:
    """The bus between services. `at_once`: how many questions of one subject are answered at one time."""

    def __init__(self, link: NatsLink, at_once: int = 512) -> None:
        self._link = link
        self._at_once = at_once
        self._subscriptions: list[int] = []
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether questions can go out now."""
        return self._link.is_connected

    async def ask(self, subject: Subject[Question, Answer], question: Question) -> Answer:
        """Ask one replica, after `try_after` another one too; raises NoAnswer."""
        asked = _Asked(self._link, subject, encode(question))
        try:
            message = await asked.answer
        finally:
            asked.end()
        if message.header is not None and FAILED_FIELD in message.header:
            raise NoAnswer(f"{subject.name}: {_reason(message.data)}")
        try:
            return decode(message.data, subject.answer)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"{subject.name}: the answer cannot be read: {error}") from error

    async def serve(self, subject: Subject[Question, Answer], handler: Callable[[Question], Awaitable[Answer]]) -> None:
        """Answer the subject's questions, as one replica of the subject's queue group."""
        served = _Served(self._link, subject, handler, self._at_once, self._answering)
        self._subscriptions.append(self._link.subscribe(subject.name, served.take, subject.queue))
        await self._settle()

    async def gather(self, name: str, answer: type[Answer], within: timedelta) -> list[Answer]:
        """Ask all instances; raises NoAnswer when not connected.

        Instances that are well answer at once, so it ends when none has for QUIET_SECONDS after the last one.
        """
        answers: list[Answer] = []
        nobody, heard = asyncio.Event(), asyncio.Event()

        def take(message: Incoming | None) -> None:
            heard.set()
            if message is None or message.status == NO_RESPONDERS:
                nobody.set()
            elif len(answers) < MOST_INSTANCES:
                try:
                    answers.append(decode(message.data, answer))
                except msgspec.DecodeError as error:
                    log.warning("instance's answer cannot be read", subject=name, because=str(error))

        try:
            token = self._link.begin(name, b"", b"", take)
        except LinkDown as error:
            raise NoAnswer(f"{name}: {error}") from error
        try:
            async with asyncio.timeout(within.total_seconds()):
                await heard.wait()
                while heard.is_set() and not nobody.is_set():
                    heard.clear()
                    await asyncio.sleep(QUIET_SECONDS)
        except TimeoutError:
            log.debug("instances took all the time to answer", subject=name, answers=len(answers))
        finally:
            self._link.forget(token)
        return answers

    async def serve_all(self, name: str, handler: Callable[[], Answer]) -> None:
        """Answer as one instance among all."""

        def take(message: Incoming) -> None:
            with contextlib.suppress(LinkDown):  # the asker does not wait for a certain number
                self._link.publish(message.reply.decode(), encode(handler()))

        self._subscriptions.append(self._link.subscribe(name, take))
        await self._settle()

    async def drain(self) -> None:
        """Take no more questions, finish those at hand."""
        for number in self._subscriptions:
            self._link.unsubscribe(number, keep_taking=True)
        self._subscriptions.clear()
        await self._settle()
        if self._answering:
            await asyncio.wait(set(self._answering))
        await self._settle()

    async def _settle(self) -> None:
        """Wait until the server knows; without a connection it learns all when that is back."""
        with contextlib.suppress(LinkDown):
            await self._link.flush()


class _Asked:
    """One question on its way; `answer` ends with a message or NoAnswer.

    The question goes out a second time after `try_after`; the first answer wins. While nobody serves the subject, or
    the connection is lost, it goes out again and again for PATIENCE_SECONDS, since a restart takes less. Time in which
    a replica may be at work on it does not count, and a replica that was for long has its successor waited for anew.
    """

    def __init__(self, link: NatsLink, subject: Subject[Any, Any], payload: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Incoming] = loop.create_future()
        self._loop = loop
        self._link = link
        self._subject = subject
        self._payload = payload
        self._tokens: list[bytes] = []  # of the tries that may still be answered
        self._pauses = 0  # made with no such try
        self._sent_at = 0.0  # after the last pause
        self._again: asyncio.TimerHandle | None = None
        self._was_busy = False
        self._try_timer = loop.call_later(subject.try_after.total_seconds(), self._send)
        self._deadline = loop.call_later(subject.deadline.total_seconds(), self._expire)
        self._send()

    def end(self) -> None:
        """Take no more answers."""
        self._try_timer.cancel()
        self._deadline.cancel()
        if self._again is not None:
            self._again.cancel()
        self._forget_tries()

    def _forget_tries(self) -> None:
        for token in self._tokens:
            self._link.forget(token)
        self._tokens.clear()

    def _forget_try(self, message: Incoming) -> None:
        """Note that a try has met nobody who works on it."""
        token = message.subject.rpartition(b".")[2]
        self._link.forget(token)
        if token in self._tokens:
            self._tokens.remove(token)

    def _send(self) -> None:
        if self.answer.done():
            return
        try:
            self._tokens.append(self._link.begin(self._subject.name, self._payload, b"", self._answered))
        except LinkDown as error:
            self._nobody(str(error))
        except TooLarge as error:
            self.answer.set_exception(QuestionTooLarge(f"{self._subject.name}: {error}"))

    def _answered(self, message: Incoming | None) -> None:
        if self.answer.done():
            return
        if message is None:
            self._forget_tries()
            self._nobody("the connection to NATS was lost")
        elif message.status == NO_RESPONDERS:
            self._forget_try(message)
            self._nobody("nobody serves it")
        elif message.header is not None and b"busy" in message.header and not self._was_busy:
            self._was_busy = True
            self._forget_try(message)
            self._send()
        else:
            self.answer.set_result(message)

    def _nobody(self, because: str) -> None:
        if self._loop.time() - self._sent_at >= PATIENCE_SECONDS:
            self._pauses = 0
        if not self._tokens and self._pauses >= MOST_PAUSES:
            self._fail(because)
            return
        if self._again is not None:
            self._again.cancel()
        seconds = PATIENCE_SECONDS if self._tokens else PAUSE_SECONDS  # no hurry while it is being worked on
        self._again = self._loop.call_later(seconds, self._send_again)

    def _send_again(self) -> None:
        self._again = None
        if not self._tokens:
            self._pauses += 1
        self._sent_at = self._loop.time()
        self._send()

    def _expire(self) -> None:
        self._fail(f"no answer within {self._subject.deadline.total_seconds()} s")

    def _fail(self, because: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(NoAnswer(f"{self._subject.name}: {because}"))


class _Served(Generic[Question, Answer]):
    """One subject that we answer."""

    def __init__(
        self,
        link: NatsLink,
        subject: Subject[Question, Answer],
        handler: Callable[[Question], Awaitable[Answer]],
        at_once: int,
        answering: set[asyncio.Task[None]],
    ) -> None:
        self._link = link
        self._subject = subject
        self._handler = handler
        self._at_once = at_once
        self._answering = answering
        self._unanswered = Unanswered(subject.name)
        self._count = 0

    def take(self, message: Incoming) -> None:
        """Begin to answer a question."""
        if self._count >= self._at_once:
            self._send(message.reply, encode(Failed("busy")), BUSY_HEADER)
            return
        self._count += 1
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._count -= 1
        self._answering.discard(task)

    async def _answer(self, message: Incoming) -> None:
        try:
            payload = encode(await self._handler(decode(message.data, self._subject.question)))
        except Exception as error:  # an entrance: the asker must learn of it, whatever it was
            self._send(message.reply, encode(self._unanswered.note(error)), ERROR_HEADER)
            return
        self._send(message.reply, payload, b"")

    def _send(self, reply: bytes, payload: bytes, header: bytes) -> None:
        try:
            self._link.publish(reply.decode(), payload, header)
        except TooLarge as error:
            log.warning("answer is too large", subject=self._subject.name, because=str(error))
            self._send(reply, encode(Failed("the answer is too large")), ERROR_HEADER)
        except LinkDown as error:
            log.warning("answer could not be sent", subject=self._subject.name, because=str(error))


def _reason(octets: bytes) -> str:
    try:
        return decode(octets, Failed).because
    except msgspec.DecodeError:
        return "failed"
