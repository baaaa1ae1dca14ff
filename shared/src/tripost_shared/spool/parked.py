"""Mail that could not be read and lies in SPOOL_UNREADABLE: to be looked at, spooled again, or dropped.

    python -m tripost_shared.spool.parked            # says what there is
    python -m tripost_shared.spool.parked show 3     # writes one's octets to standard output
    python -m tripost_shared.spool.parked retry      # spools again what this release can read
    python -m tripost_shared.spool.parked drop 3     # forgets one for good

It runs where domains does, with its settings: only its NATS user may do this (docs/operations/unreadable-mail.md).
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from pydantic import ValidationError

from tripost_shared import logs
from tripost_shared.bus import jetstream
from tripost_shared.bus.jetstream import JetStreamRefused, JetStreamUnavailable, StoredMessage
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.content.object_store import ObjectContentStore
from tripost_shared.content.port import ContentMissing, ContentUnavailable, aborted_on_failure
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content
from tripost_shared.settings import CommonSettings, SettingsError, explain
from tripost_shared.spool.bundle import opened
from tripost_shared.spool.jetstream import UNREADABLE_STREAM, UNREADABLE_SUBJECT, JetStreamSpool
from tripost_shared.spool.port import MessageTooLarge, SpoolFull, SpoolUnavailable

SUMMARY: Final = "{sequence}  parked {parked_at:%Y-%m-%d %H:%M:%S} UTC  {octets} octets  {readable}\n"

CONNECTED_WITHIN_SECONDS: Final = 10.0


class NoSuchMessage(Exception):
    """Nothing of that number is parked."""


class Retried(NamedTuple):
    """How many messages were spooled again, and how many of the parked ones still cannot be read."""

    spooled: int
    left: int


async def parked(link: NatsLink) -> list[StoredMessage]:
    """Give all that is parked, oldest first; raises JetStreamUnavailable."""
    return [message async for message in jetstream.scan(link, UNREADABLE_STREAM, UNREADABLE_SUBJECT)]


async def octets_of(link: NatsLink, sequence: int) -> bytes:
    """Give one's octets as they were spooled; raises NoSuchMessage or JetStreamUnavailable."""
    found = [message for message in await parked(link) if message.sequence == sequence]
    if not found:
        raise NoSuchMessage(f"nothing is parked as number {sequence}")
    return found[0].data


async def retry(link: NatsLink, partitions: int) -> Retried:
    """Spool what can be read now, and park it no more. What is readable in part only stays whole.

    Content in the store is stored anew before, since domains takes content for an orphan that is much older than its
    message's place in the spool. Broken off, it may spool a message once more, minutes later. Raises as spooling does,
    as JetStream's calls do, and ContentUnavailable.
    """
    spool = JetStreamSpool(link, partitions)
    store = ObjectContentStore(link)
    spooled: set[str] = set()
    left = 0
    for each in await parked(link):
        messages = _readable(each)
        if messages is None:
            left += 1
            continue
        for message in messages:
            if message.id not in spooled:  # else it was parked twice: an acknowledgement got lost
                await _store_anew(store, message.content)
                await spool.publish(message, _name_of(each, message))
                spooled.add(message.id)
        await _forget(link, each.sequence)
    return Retried(len(spooled), left)


def _name_of(each: StoredMessage, message: SpooledMessage) -> str:
    """Name what is spooled again: the same at each retry, and not as edge may have named it a minute ago.

    Under a name that its stream has seen lately the server keeps nothing, and what is parked would be the last copy.
    """
    return f"retry-{each.sequence}-{message.id}"


async def drop(link: NatsLink, sequence: int) -> None:
    """Forget one for good; raises NoSuchMessage, JetStreamRefused or JetStreamUnavailable."""
    await octets_of(link, sequence)
    await _forget(link, sequence)


async def _forget(link: NatsLink, sequence: int) -> None:
    await jetstream.call(link, f"STREAM.MSG.DELETE.{UNREADABLE_STREAM}", {"seq": sequence})


async def _store_anew(store: ObjectContentStore, content: Content) -> None:
    """Make stored content as young as can be; what is lost or damaged stays so, and domains tells the sender."""
    if not content.stored:
        return
    writer = store.writer(content.stored)
    with suppress(ContentMissing):
        async with aborted_on_failure(writer):
            async for chunk in store.open(content):
                await writer.write(chunk)
            await writer.commit()


def _readable(each: StoredMessage) -> list[SpooledMessage] | None:
    parts = opened(each.data)
    messages = [part for part in parts if isinstance(part, SpooledMessage)]
    return messages if len(messages) == len(parts) else None


def _summary(each: StoredMessage) -> str:
    messages = _readable(each)
    readable = "cannot be read" if messages is None else "can be read: " + " ".join(message.id for message in messages)
    return SUMMARY.format(sequence=each.sequence, parked_at=each.stored_at, octets=len(each.data), readable=readable)


async def run(settings: CommonSettings, arguments: argparse.Namespace) -> bytes:
    """Do what the command line says; gives what is to be written."""
    try:
        async with asyncio.timeout(CONNECTED_WITHIN_SECONDS):
            link = await NatsLink.connect(settings, "domains")
    except TimeoutError as error:
        raise JetStreamUnavailable(f"no NATS server can be reached: {settings.nats_url}") from error
    try:
        match arguments.action:
            case "show":
                return await octets_of(link, arguments.number)
            case "retry":
                spooled, left = await retry(link, settings.spool_partitions)
                return f"{spooled} spooled again, {left} parked still\n".encode()
            case "drop":
                await drop(link, arguments.number)
                return b""
            case _:
                return "".join(map(_summary, await parked(link))).encode() or b"nothing is parked\n"
    finally:
        await link.close()


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; exit codes: 0 done, 1 not possible now, 2 wrong arguments or settings, 3 no such message."""
    arguments = _parser().parse_args(words)
    try:
        settings = CommonSettings()
        logs.set_up("parked", settings.log_level, "console")
        sys.stdout.buffer.write(asyncio.run(run(settings, arguments)))
    except ValidationError as error:
        return _end(2, explain(error))
    except SettingsError as error:
        return _end(2, str(error))
    except NoSuchMessage as error:
        return _end(3, str(error))
    except (
        JetStreamRefused,
        JetStreamUnavailable,
        ContentUnavailable,
        SpoolFull,
        SpoolUnavailable,
        MessageTooLarge,
    ) as error:
        return _end(1, str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    name = "python -m tripost_shared.spool.parked"
    parser = argparse.ArgumentParser(name, description="Say what spooled mail is parked since it cannot be read.")
    actions = parser.add_subparsers(dest="action", metavar="show N | retry | drop N")
    for action, explained in (("show", "write its octets"), ("drop", "forget it for good")):
        actions.add_parser(action, help=explained).add_argument("number", type=int)
    actions.add_parser("retry", help="spool again what can be read now")
    return parser


def _end(code: int, because: str) -> int:
    sys.stderr.write(f"tripost parked: {because}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
