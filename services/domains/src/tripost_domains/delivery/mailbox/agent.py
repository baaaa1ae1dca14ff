"""The mailbox agent: puts a message into a local mailbox."""

import errno
import re
from functools import partial
from typing import Final

import structlog

from tripost_domains.delivery.mailbox.group_commit import GroupCommit
from tripost_domains.delivery.mailbox.maildir import MaildirStore, MaildirWriting
from tripost_domains.delivery.mailbox.names import UnsafeName, file_name, mailbox_folder, stem
from tripost_domains.delivery.mailbox.workers import DiskWorkers
from tripost_domains.delivery.outcome import MAILBOX, Outcome, Result, Trial, deferred, delivered, failed
from tripost_domains.directory.model import MailboxDestination
from tripost_shared.content.port import ContentMissing, ContentStore, ContentUnavailable
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.header import printable
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

MAX_HEADER_OCTETS: Final = 128 * 1024  # how far into a large message we look for Delivered-To

_DELIVERED_TO: Final = re.compile(rb"^delivered-to:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_NO_SPACE: Final = SmtpReply(452, "4.3.1", "Mail system is full")
_OVER_QUOTA: Final = SmtpReply(452, "4.2.2", "Mailbox is full")
_DISK_REPLIES: Final = {errno.ENOSPC: _NO_SPACE, errno.EDQUOT: _OVER_QUOTA, errno.EFBIG: _NO_SPACE}
_DISK_TROUBLE: Final = SmtpReply(451, "4.3.0", "Mailbox cannot be written to now")


class MailboxAgent:
    """Deliver to Maildirs, each message once even when it is asked for again after a crash."""

    def __init__(self, maildirs: MaildirStore, workers: DiskWorkers, content: ContentStore, hostname: str) -> None:
        self._maildirs = maildirs
        self._workers = workers
        self._group = GroupCommit(maildirs, workers)
        self._content = content
        self._hostname = hostname

    async def deliver(self, message: SpooledMessage, mailbox: MailboxDestination, trial: Trial) -> Outcome:
        """Put the message into the mailbox, durably. What the disk refuses is a deferral."""
        try:
            folder = mailbox_folder(mailbox.domain, mailbox.local_part)
        except UnsafeName as error:
            return failed("5.1.3", "Mailbox name cannot be used", MAILBOX, str(error))
        top = top_fields(message, mailbox)
        size_octets = len(top) + message.content.size_octets
        name = file_name(message.received_at, message.id, self._hostname, size_octets)
        try:
            if trial.may_be_repeated:
                beginning = stem(message.received_at, message.id)
                found = await self._workers.run(partial(self._maildirs.find, folder, beginning))
                if found:
                    return delivered(MAILBOX, "Delivered", f"found in {found}/ from an earlier attempt")
            if message.content.inline is not None:
                octets = (top, message.content.inline)
                if loops(message.header_fields, message.content.inline, mailbox.address):
                    return _looped(mailbox)
                await self._group.deliver(folder, name, octets)
                return delivered(MAILBOX, "Delivered")
            writing = await self._workers.run(partial(self._maildirs.begin, folder, name))
            return await self._deliver_stream(message, mailbox, writing, top)
        except OSError as error:
            return _disk_refused(message, mailbox, error)
        except (ContentMissing, ContentUnavailable) as error:
            return deferred("4.3.0", "Content cannot be read now", MAILBOX, f"{type(error).__name__}: {error}")

    async def _deliver_stream(
        self, message: SpooledMessage, mailbox: MailboxDestination, writing: MaildirWriting, top: bytes
    ) -> Outcome:
        """Write content from the store chunk by chunk, so that no message is ever whole in memory."""
        head = b""
        try:
            await self._workers.run(partial(writing.write, (top,)))
            async for chunk in self._content.open(message.content):
                if len(head) < MAX_HEADER_OCTETS and b"\r\n\r\n" not in head:
                    head += chunk
                    if loops(message.header_fields, head, mailbox.address):
                        await self._workers.run(writing.abort)
                        return _looped(mailbox)
                await self._workers.run(partial(writing.write, (chunk,)))
            await self._workers.run(writing.commit)
        except BaseException:
            await self._workers.run(writing.abort)
            raise
        return delivered(MAILBOX, "Delivered")


def top_fields(message: SpooledMessage, mailbox: MailboxDestination) -> bytes:
    """Give the fields on top of the content: Return-Path (RFC 5321 §4.4), Delivered-To, then the trace."""
    reverse_path, address = printable(message.envelope.reverse_path), printable(mailbox.address)
    return f"Return-Path: <{reverse_path}>\r\nDelivered-To: {address}\r\n".encode() + message.header_fields


def loops(header_fields: bytes, content: bytes, address: str) -> bool:
    """Tell whether the message has been in this mailbox before: it bears our Delivered-To."""
    end = content.find(b"\r\n\r\n", 0, MAX_HEADER_OCTETS)
    header = header_fields + content[: end if end >= 0 else MAX_HEADER_OCTETS]
    wanted = address.lower().encode()
    return any(match[1].strip().lower() == wanted for match in _DELIVERED_TO.finditer(header))


def _looped(mailbox: MailboxDestination) -> Outcome:
    return failed("5.4.6", "Mail forwarding loop", MAILBOX, f"Delivered-To: {mailbox.address} is in the header already")


def _disk_refused(message: SpooledMessage, mailbox: MailboxDestination, error: OSError) -> Outcome:
    reply = _DISK_REPLIES.get(error.errno or 0, _DISK_TROUBLE)
    because = f"{errno.errorcode.get(error.errno or 0, type(error).__name__)}: {error.strerror}"
    log.error("mailbox cannot be written", message_id=message.id, mailbox=mailbox.address, because=because)
    return Outcome(Result.DEFERRED, reply, MAILBOX, detail=because)
