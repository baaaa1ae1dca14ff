"""The SMTP client's side of a session (RFC 5321 §3, §4): transactions."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tripost_domains.delivery.outcome import Outcome, Result
from tripost_domains.delivery.relay.attempt import Attempt
from tripost_domains.delivery.relay.classify import (
    HostFailure,
    Step,
    classify,
    classify_opening,
    for_want_of_tls,
    lost,
    may_want_tls,
)
from tripost_domains.delivery.relay.host import Host
from tripost_domains.delivery.relay.link import Link, LinkLost
from tripost_domains.delivery.relay.sending import Sending
from tripost_domains.delivery.relay.stuffing import DotStuffer
from tripost_shared.mail.reply import SmtpReply


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each wait may last, in seconds (RFC 5321 §4.5.3.2 names the least values for most).

    A reply must be there in that time with all its lines, however often some of it comes.
    """

    connect: float = 30
    greeting: float = 120
    command: float = 300
    block: float = 180
    final: float = 600


class SmtpSession:
    """A session with one host that is open (see `opening`), good for one transaction after the other.

    `fell_back`: it is in plain text although TLS was wished for and the host had offered it.
    """

    def __init__(
        self,
        link: Link,
        host: Host,
        capabilities: Mapping[str, str],
        patience: Patience,
        *,
        fell_back: bool,
    ) -> None:
        self.host = host
        self.capabilities = capabilities
        self.fell_back = fell_back
        self.may_want_tls = False  # it refused in plain text what it might take under TLS
        self.transactions = 0
        self._link = link
        self._patience = patience
        self.is_in_doubt = False  # the final dot is sent, and no reply to it has come
        self._needs_reset = False
        self._is_over = False  # the host ends it (421), or its replies are not to be relied upon

    @property
    def is_usable(self) -> bool:
        """Whether another transaction can begin, as far as can be seen without asking."""
        return self._link.is_quiet and not self._is_over and not self.may_want_tls

    async def transact(self, sending: Sending, attempt: Attempt) -> None:
        """Send the message to the recipients that are left, and decide about each, or put it off.

        Raises HostFailure when the host failed before the final dot: nothing was taken for those that are left then.
        Raises ContentMissing or ContentUnavailable, the connection then being cut before the final dot.
        """
        self.transactions += 1
        if self._needs_reset:
            await self._reset()
        self._needs_reset = True
        recipients = attempt.left
        step = Step.MAIL
        try:
            if "PIPELINING" in self.capabilities:
                may_send = await self._burst(sending, recipients, attempt)
            else:
                may_send = await self._one_by_one(sending, recipients, attempt)
            if not may_send:
                return
            step = Step.CONTENT
            if not attempt.left:
                await self._send_nothing()
                return
            await self._send(sending, attempt)
        except LinkLost as error:
            if attempt.left:
                raise HostFailure(lost(step, self.host, str(error))) from error

    def say_goodbye(self) -> None:
        """End the session in order."""
        self._link.say_goodbye()

    def close(self) -> None:
        """Cut the connection."""
        self._link.close()

    async def _burst(self, sending: Sending, recipients: Sequence[str], attempt: Attempt) -> bool:
        """Send MAIL, all RCPT and DATA at once (RFC 2920); tells whether the host asks for content."""
        mail_command = sending.mail_command(self.capabilities, recipients)
        rcpt_commands = [sending.rcpt_command(self.capabilities, recipient) for recipient in recipients]
        self._link.command(b"".join((mail_command, *rcpt_commands, b"DATA\r\n")))
        mail = await self._reply()
        if mail.code // 100 != 2:
            attempt.refuse(recipients, self._refusal(mail, Step.MAIL))
        for recipient in recipients:
            reply = await self._reply()
            if attempt.is_left(recipient) and reply.code // 100 != 2:
                attempt.refuse([recipient], self._refusal(reply, Step.RCPT))
        return self._may_send(await self._reply(), attempt)

    async def _one_by_one(self, sending: Sending, recipients: Sequence[str], attempt: Attempt) -> bool:
        """Send MAIL, each RCPT and DATA after the reply to the last; tells whether the host asks for content."""
        mail = await self._ask(sending.mail_command(self.capabilities, recipients))
        if mail.code // 100 != 2:
            attempt.refuse(recipients, self._refusal(mail, Step.MAIL))
            return False
        for recipient in recipients:
            reply = await self._ask(sending.rcpt_command(self.capabilities, recipient))
            if reply.code // 100 != 2:
                attempt.refuse([recipient], self._refusal(reply, Step.RCPT))
        return bool(attempt.left) and self._may_send(await self._ask(b"DATA\r\n"), attempt)

    def _may_send(self, reply: SmtpReply, attempt: Attempt) -> bool:
        if reply.code == 354:
            return True
        attempt.refuse(attempt.left, self._refusal(reply, Step.DATA))
        return False

    def _refusal(self, reply: SmtpReply, step: Step) -> Outcome:
        """Say what a reply means that is not the one hoped for.

        Raises LinkLost when it is none to this command at all (such as 354 to RCPT): then no reply can be relied upon.
        """
        if reply.code < 400:
            self.close()
            raise LinkLost(f"unexpected reply {reply}")
        outcome = classify(reply, step, self.host)
        if self.fell_back and may_want_tls(reply):
            self.may_want_tls = True
            return for_want_of_tls(outcome)
        return outcome

    async def _send(self, sending: Sending, attempt: Attempt) -> None:
        """Send the content and the final dot, and decide about the recipients by the reply to it, or its absence.

        Raises LinkLost when the connection ends before the final dot, and content errors with the connection cut.
        """
        try:
            await self._send_content(sending, attempt)
        except LinkLost:
            early = self._link.pending_reply()  # such as "552 too large", said while the content was coming
            if early is None or early.code < 400:
                raise
            self.close()
            attempt.decide_rest(classify(early.summary(), Step.END, self.host))
            return
        except BaseException:
            self.close()
            raise
        self.is_in_doubt = True
        outcome = await self._final_outcome()
        self.is_in_doubt = False
        attempt.decide_rest(outcome)
        self._needs_reset = outcome.result is not Result.RELAYED

    async def _send_content(self, sending: Sending, attempt: Attempt) -> None:
        stuffer = DotStuffer()
        whole = sending.whole()
        if whole is not None:
            self._link.command(stuffer.feed(whole) + stuffer.end())
            attempt.hand_over()
            return
        async for chunk in sending.chunks():
            self._link.command(stuffer.feed(chunk))
            await self._link.drain(self._patience.block)
        self._link.command(stuffer.end())
        attempt.hand_over()

    async def _final_outcome(self) -> Outcome:
        """Wait for the reply to the final dot; one that has come counts, whatever breaks at the same time.

        That the message was taken is believed only if it was said after we had sent the final dot.
        """
        try:
            await self._link.drain(self._patience.block)
            reply = await self._link.reply(self._patience.final)
        except LinkLost as error:
            early = self._link.pending_reply()
            if early is None:
                return lost(Step.END, self.host, str(error))
            reply = early
        if reply.code < 400 and self._link.was_interrupted:
            self.close()
            return lost(Step.END, self.host, f"it said {reply.summary()} before it had all of the message")
        self._is_over = reply.code == 421 or 300 <= reply.code < 400
        outcome = classify(reply.summary(), Step.END, self.host)
        return replace(outcome, hop_reports="DSN" in self.capabilities)

    async def _send_nothing(self) -> None:
        """End a DATA that the host accepted although it refused every recipient (RFC 2920 §3.1)."""
        self._link.command(b".\r\n")
        await self._link.reply(self._patience.command)

    async def _reset(self) -> None:
        try:
            reply = await self._ask(b"RSET\r\n")
        except LinkLost as error:
            raise HostFailure(lost(Step.MAIL, self.host, str(error))) from error
        if reply.code // 100 != 2:
            self.close()
            raise HostFailure(classify_opening(reply, Step.MAIL, self.host))

    async def _ask(self, command: bytes) -> SmtpReply:
        self._link.command(command)
        return await self._reply()

    async def _reply(self) -> SmtpReply:
        reply = await self._link.reply(self._patience.command)
        self._is_over = self._is_over or reply.code == 421  # RFC 5321 §3.8: it is closing the connection
        return reply.summary()


async def say_goodbye_all(sessions: Sequence[SmtpSession]) -> None:
    """End sessions in order, and let the event loop send what that takes."""
    for session in sessions:
        session.say_goodbye()
    await asyncio.sleep(0)
