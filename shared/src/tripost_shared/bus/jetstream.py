"""JetStream's own questions, JSON on `$JS.API.…` (NATS ADR-1, ADR-31), and publishing with an acknowledgement."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from tripost_shared.bus.encoding import decode_json
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.bus.nats_link import LinkDown, NatsLink, TooLarge

API: Final = "$JS.API"
SECOND: Final = 1_000_000_000  # JetStream counts nanoseconds
WITHIN_SECONDS: Final = 5.0
SCAN_BATCH: Final = 256

NOT_FOUND: Final = frozenset({10014, 10037, 10059})  # no such consumer, message, stream
NO_SUCH_MESSAGE: Final = 10037
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
TOO_LARGE: Final = frozenset({10054})  # over the stream's max_msg_size
FULL: Final = frozenset({10002, 10023, 10028, 10047, 10077})  # account, server, memory, storage; the stream's own limit


class JetStreamUnavailable(Exception):
    """JetStream did not answer, or not now."""


class JetStreamRefused(Exception):
    """JetStream answered with an error; `number` is its err_code."""

    def __init__(self, number: int, description: str) -> None:
        super().__init__(f"{description} ({number})")
        self.number = number


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Acknowledgement(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


class StoredMessage(NamedTuple):
    """A message of a stream. `header` is its header block, b"" for none."""

    subject: str
    sequence: int
    data: bytes
    header: bytes
    stored_at: datetime


def header(fields: Mapping[str, str]) -> bytes:
    """Give a header block; names and values come from us, never from mail."""
    return b"NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n"


def header_value(block: bytes | None, name: bytes) -> str:
    """Give a field's value, "" when there is none."""
    for line in (block or b"").split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key == name:
            return value.strip().decode("utf-8", "replace")
    return ""


async def publish(
    link: NatsLink, subject: str, payload: bytes, fields: bytes = b"", within_seconds: float = WITHIN_SECONDS
) -> int:
    """Store a message in the subject's stream; gives its sequence number once it is on disk.

    Raises JetStreamRefused or JetStreamUnavailable; after the latter the message may be stored or not.
    """
    return (await _stored(link, subject, payload, fields, within_seconds)).seq


async def publish_once(
    link: NatsLink, subject: str, payload: bytes, fields: bytes, within_seconds: float = WITHIN_SECONDS
) -> bool:
    """Store a message whose header names it (`Nats-Msg-Id`); raises as `publish` does.

    False: it is not stored, since the stream has taken one of that name within its `duplicate_window`. That may be
    another message: only who knows that it is this one may do as if this one were stored.
    """
    return not (await _stored(link, subject, payload, fields, within_seconds)).duplicate


async def call(
    link: NatsLink, endpoint: str, body: Mapping[str, Any] | None = None, within_seconds: float = WITHIN_SECONDS
) -> dict[str, Any]:
    """Ask the API (`STREAM.INFO.SPOOL_0`); raises JetStreamRefused or JetStreamUnavailable."""
    payload = b"" if body is None else msgspec.json.encode(body)
    message = await _request(link, f"{API}.{endpoint}", payload, within_seconds, b"")
    try:
        answer = decode_json(message.data, dict[str, Any])
        refusal = msgspec.convert(answer["error"], _Error) if "error" in answer else None
    except msgspec.DecodeError as error:
        raise JetStreamUnavailable(f"{endpoint}: the answer cannot be read") from error
    if refusal is None:
        return answer
    if refusal.code == 503:
        raise JetStreamUnavailable(f"{endpoint}: {refusal.description}")
    raise JetStreamRefused(refusal.err_code, refusal.description)


async def last_message(link: NatsLink, stream: str, subject: str) -> StoredMessage | None:
    """Give the subject's newest message, as the stream's leader knows it; raises as `call` does."""
    try:
        answer = await call(link, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except JetStreamRefused as error:
        if error.number in NOT_FOUND:
            return None
        raise
    return stored_message(answer["message"])


async def direct_last(link: NatsLink, stream: str, subject: str, within_seconds: float) -> StoredMessage | None:
    """Give the subject's newest message, as any replica knows it; raises JetStreamUnavailable."""
    message = await _request(link, f"{API}.DIRECT.GET.{stream}.{subject}", b"", within_seconds, b"")
    if message.status == 404:
        return None
    if message.status:
        raise JetStreamUnavailable(f"direct get ended with {message.status}")
    return _direct(message)


async def first_stored_at(link: NatsLink, stream: str) -> datetime | None:
    """Tell when the stream's oldest message was stored; None: it has none, or there is no such stream."""
    try:
        state = (await call(link, f"STREAM.INFO.{stream}"))["state"]
    except JetStreamRefused as error:
        if error.number in NOT_FOUND:
            return None
        raise
    return _time(state["first_ts"]) if state["messages"] else None


async def count_messages(link: NatsLink, stream: str) -> int:
    """Count what is stored; raises as `call` does."""
    count: int = (await call(link, f"STREAM.INFO.{stream}"))["state"]["messages"]
    return count


async def last_sequence(link: NatsLink, stream: str) -> int:
    """Give the number of the message stored last, whether it is still there or not; raises as `call` does."""
    number: int = (await call(link, f"STREAM.INFO.{stream}"))["state"]["last_seq"]
    return number


async def purge(link: NatsLink, stream: str, subject: str, up_to: int | None = None) -> None:
    """Remove the messages of a subject, all or those up to a sequence number; raises as `call` does."""
    bound = {} if up_to is None else {"seq": up_to + 1}
    await call(link, f"STREAM.PURGE.{stream}", {"filter": subject, **bound})


async def scan(
    link: NatsLink, stream: str, subject: str, batch: int = SCAN_BATCH, sequence: int = 1
) -> AsyncIterator[StoredMessage]:
    """Give all messages of a subject (wildcards allowed) from `sequence` on, `batch` at a time (NATS ADR-31).

    Any replica may answer, one that lags behind too. Raises JetStreamUnavailable.
    """
    while True:
        messages, pending = await direct_batch(link, stream, subject, batch, sequence)
        for message in messages:
            yield message
        if not pending or not messages:
            return
        sequence = messages[-1].sequence + 1


async def direct_batch(
    link: NatsLink, stream: str, subject: str, batch: int, sequence: int
) -> tuple[list[StoredMessage], int]:
    """Give `batch` messages at most, as `scan` does, and how many more there are. Raises JetStreamUnavailable."""
    body = {"next_by_subj": subject, "seq": sequence, "batch": batch}
    answers = _Answers()
    try:
        token = link.begin(f"{API}.DIRECT.GET.{stream}", msgspec.json.encode(body), b"", answers.take)
    except (LinkDown, TooLarge) as error:
        raise JetStreamUnavailable(str(error)) from error
    try:
        return await answers.all(WITHIN_SECONDS)
    finally:
        link.forget(token)


class _Answers:
    """The messages that answer one direct get; a status ends them (204: no more now, 404: there is none)."""

    def __init__(self) -> None:
        self._messages: list[StoredMessage] = []
        self._pending: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(self, message: Incoming | None) -> None:
        """Collect one."""
        if self._pending.done():
            return
        if message is None:
            self._pending.set_exception(JetStreamUnavailable("the connection to NATS was lost"))
        elif message.status == 204:
            self._pending.set_result(int(header_value(message.header, b"Nats-Num-Pending") or 0))
        elif message.status == 404:
            self._pending.set_result(0)
        elif message.status:
            self._pending.set_exception(JetStreamUnavailable(f"direct get ended with {message.status}"))
        else:
            self._messages.append(_direct(message))

    async def all(self, within_seconds: float) -> tuple[list[StoredMessage], int]:
        """Wait for the end; gives the messages, and how many more there are."""
        try:
            async with asyncio.timeout(within_seconds):
                pending = await self._pending
        except TimeoutError as error:
            raise JetStreamUnavailable("direct get was not answered in time") from error
        return self._messages, pending


async def _stored(
    link: NatsLink, subject: str, payload: bytes, fields: bytes, within_seconds: float
) -> _Acknowledgement:
    message = await _request(link, subject, payload, within_seconds, fields)
    try:
        answer = decode_json(message.data, _Acknowledgement)
    except msgspec.DecodeError as error:
        raise JetStreamUnavailable(f"{subject}: the acknowledgement cannot be read") from error
    if answer.error is not None:
        raise JetStreamRefused(answer.error.err_code, answer.error.description)
    return answer


async def _request(link: NatsLink, subject: str, payload: bytes, within_seconds: float, fields: bytes) -> Incoming:
    try:
        return await link.request(subject, payload, within_seconds, fields)
    except (LinkDown, TooLarge, TimeoutError) as error:
        raise JetStreamUnavailable(str(error)) from error


def stored_message(message: Mapping[str, Any]) -> StoredMessage:
    """Read a message as the API gives it."""
    return StoredMessage(
        message["subject"],
        message["seq"],
        base64.b64decode(message.get("data", "")),
        base64.b64decode(message.get("hdrs", "")),
        _time(message["time"]),
    )


def _direct(message: Incoming) -> StoredMessage:
    return StoredMessage(
        header_value(message.header, b"Nats-Subject"),
        int(header_value(message.header, b"Nats-Sequence")),
        message.data,
        message.header or b"",
        _time(header_value(message.header, b"Nats-Time-Stamp")),
    )


def _time(text: str) -> datetime:
    """Read RFC 3339 in UTC with up to nine digits of a second, as Go writes it."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(seconds).replace(tzinfo=UTC, microsecond=int(fraction[:6].ljust(6, "0")))
