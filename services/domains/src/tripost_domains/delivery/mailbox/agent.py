"""The mailbox agent: puts a message into a local mailbox."""

import asyncio
import errno
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import PurePath
from typing import Final

import structlog

from tripost_domains.delivery.mailbox.group_commit import GroupCommit
from tripost_domains.delivery.mailbox.line_ends import LfLines, to_lf
from tripost_domains.delivery.mailbox.maildir import MaildirStore, MaildirWriting
from tripost_domains.delivery.mailbox.names import UnsafeName, file_name, mailbox_folder, stem
from tripost_domains.delivery.mailbox.refusals import Refusals
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.octets import joined, joined_in_pieces
from tripost_domains.delivery.outcome import MAILBOX, Outcome, Result, Trial, delivered, failed
from tripost_domains.delivery.unread import content_unread
from tripost_domains.directory.model import MailboxDestination
from tripost_shared.content.budget import OctetBudget
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.content import Content
from tripost_shared.mail.header import printable
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

WHOLE_OCTETS: Final = 16 << 20  # of messages that are whole in memory on their way to the disk
STREAMS_A_THREAD: Final = 2  # of content from the store: one writes while the other reads

_NO_SPACE: Final = SmtpReply(452, "4.3.1", "Mail system is full")
_OVER_QUOTA: Final = SmtpReply(452, "4.2.2", "Mailbox is full")
_DISK_REPLIES: Final = {errno.ENOSPC: _NO_SPACE, errno.EDQUOT: _OVER_QUOTA, errno.EFBIG: _NO_SPACE}
_DISK_TROUBLE: Final = SmtpReply(451, "4.3.0", "Mailbox cannot be written to now")


class MailboxAgent:
    """Deliver to Maildirs, each message once even when it is asked for again after a crash.

    `Delivered-To` is written, and what stands there already is not judged: anybody can write it, so to bounce what
    bears it would send our bounces to forged senders. A loop ends at edge, which counts Received fields.

    However many mailboxes wait for their messages, what is under way is bounded: by octets where the message is at hand
    (many small ones must come together, for GroupCommit to gather them), by number where it comes from the store.
    """

    def __init__(
        self,
        maildirs: MaildirStore,
        workers: DiskWorkers,
        content: ContentStore,
        hostname: str,
        refusals: Refusals,
    ) -> None:
        self._maildirs = maildirs
        self._workers = workers
        self._group = GroupCommit(maildirs, workers)
        self._whole = OctetBudget(WHOLE_OCTETS)
        self._streams = asyncio.Semaphore(STREAMS_A_THREAD * workers.count)
        self._content = content
        self._hostname = hostname
        self._refusals = refusals

    async def deliver(self, message: SpooledMessage, mailbox: MailboxDestination, trial: Trial) -> Outcome:
        """Put the message into the mailbox, durably. What the disk refuses is a deferral."""
        try:
            folder = mailbox_folder(mailbox.domain, mailbox.local_part)
        except UnsafeName as error:
            return failed("5.1.3", "Mailbox name cannot be used", MAILBOX, str(error))
        top = top_fields(message, mailbox)
        try:
            async with self._room(message.content):
                outcome = await self._put(message, folder, top, trial)
        except OSError as error:
            self._refusals.refused(folder, error.strerror or type(error).__name__)
            return _disk_refused(message, mailbox, error)
        except (ContentMissing, ContentUnavailable) as error:
            return content_unread(message.id, error, MAILBOX)
        self._refusals.taken(folder)
        return outcome

    def _room(self, content: Content) -> AbstractAsyncContextManager[None]:
        return self._streams if content.inline is None else self._whole.take(len(content.inline))

    async def _put(self, message: SpooledMessage, folder: PurePath, top: bytes, trial: Trial) -> Outcome:
        """Write the message, unless it is there; raises OSError, ContentMissing or ContentUnavailable."""
        whole = None if message.content.inline is None else to_lf(joined(top, message.content.inline))
        size_octets = None if whole is None else len(whole)
        name = file_name(message.received_at, message.id, self._hostname, size_octets)
        if trial.may_be_repeated:
            beginning = stem(message.received_at, message.id)
            found = await self._workers.run(partial(self._maildirs.find, folder, name, beginning))
            if found:
                return delivered(MAILBOX, "Delivered", f"found in {found}/ from an earlier attempt")
        if whole is not None:
            await self._group.deliver(folder, name, (whole,))
        else:
            await self._write(message, partial(self._maildirs.begin, folder, name), top)
        return delivered(MAILBOX, "Delivered")

    async def _write(self, message: SpooledMessage, begin: Callable[[], MaildirWriting], top: bytes) -> None:
        """Write content from the store chunk by chunk, so that no message is ever whole in memory."""
        lines = LfLines()
        begun: list[MaildirWriting] = []  # filled by the thread, also when we are cancelled meanwhile
        try:
            await self._to_its_end(lambda: begun.append(begin()))
            async for piece in joined_in_pieces(top, self._content.open(message.content)):
                await self._to_its_end(partial(begun[0].write, (lines.feed(piece),)))
            await self._to_its_end(partial(begun[0].write, (lines.end(),)))
            await self._to_its_end(begun[0].commit)
        except BaseException:
            for writing in begun:
                await self._workers.run(writing.abort)
            raise

    async def _to_its_end(self, job: Callable[[], None]) -> None:
        """Let a job end although we are cancelled: a file must not be closed while a thread is writing to it."""
        working = asyncio.ensure_future(self._workers.run(job))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait({working})
            raise


def top_fields(message: SpooledMessage, mailbox: MailboxDestination) -> bytes:
    """Give the fields on top of the content: Return-Path (RFC 5321 §4.4), Delivered-To, then the trace."""
    reverse_path, address = printable(message.envelope.reverse_path), printable(mailbox.address)
    return f"Return-Path: <{reverse_path}>\r\nDelivered-To: {address}\r\n".encode() + message.header_fields


def _disk_refused(message: SpooledMessage, mailbox: MailboxDestination, error: OSError) -> Outcome:
    reply = _DISK_REPLIES.get(error.errno or 0, _DISK_TROUBLE)
    because = f"{errno.errorcode.get(error.errno or 0, type(error).__name__)}: {error.strerror}"
    log.error("mailbox cannot be written", message_id=message.id, mailbox=mailbox.address, because=because)
    return Outcome(Result.DEFERRED, reply, MAILBOX, detail=because)
