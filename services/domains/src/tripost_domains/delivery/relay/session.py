"""The SMTP client's side of a session (RFC 5321 §3, §4): opening with TLS, and transactions."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from tripost_domains.delivery.outcome import Outcome, Result
from tripost_domains.delivery.relay.classify import (
    HostFailure,
    Step,
    classify,
    classify_opening,
    lost,
    tls_trouble,
)
from tripost_domains.delivery.relay.host import Host, parse_literal
from tripost_domains.delivery.relay.link import Link, LinkLost, TlsFailed
from tripost_domains.delivery.relay.reply import RemoteReply
from tripost_domains.delivery.relay.sending import Sending, rcpt_command
from tripost_domains.delivery.relay.stuffing import DotStuffer
from tripost_shared.mail.reply import SmtpReply


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each wait may last, in seconds (RFC 5321 §4.5.3.2 names the least values for most)."""

    connect: float = 30
    greeting: float = 120
    command: float = 300
    block: float = 180
    final: float = 600


class BrokenTls(Exception):
    """The handshake failed; a new connection in plain text may work."""


class SmtpSession:
    """A session with one host, good for one transaction after the other."""

    def __init__(self, link: Link, host: Host, hello_name: str, patience: Patience) -> None:
        self.host = host
        self.capabilities: dict[str, str] = {}
        self.tls = ""  # such as "TLSv1.3 TLS_AES_256_GCM_SHA384"
        self.transactions = 0
        self._link = link
        self._hello_name = hello_name
        self._patience = patience
        self._needs_reset = False

    @staticmethod
    async def open(host: Host, hello_name: str, patience: Patience, tls: str, context: ssl.SSLContext) -> "SmtpSession":
        """Connect, greet, and begin TLS where `tls` ("none", "may", "encrypt") and the host want it.

        Raises HostFailure; BrokenTls when `tls` is "may" and only the handshake failed.
        """
        try:
            link = await Link.connect(host.address, host.port, patience.connect)
        except LinkLost as error:
            raise HostFailure(lost(Step.CONNECT, host, str(error))) from error
        session = SmtpSession(link, host, hello_name, patience)
        try:
            await session._greet()
            if tls != "none":
                await session._secure(tls, context)
        except BaseException:
            session.close()
            raise
        return session

    @property
    def is_usable(self) -> bool:
        """Whether another transaction can begin, as far as can be seen without asking."""
        return self._link.is_quiet

    async def transact(self, sending: Sending, recipients: Sequence[str]) -> dict[str, Outcome]:
        """Send the message to these recipients, which this session's host can name; gives an outcome for each.

        Raises HostFailure when the host failed before the final dot: nothing was taken for those it did not decide.
        Raises ContentMissing or ContentUnavailable, the connection then being cut before the final dot.
        """
        self.transactions += 1
        if self._needs_reset:
            await self._reset()
        self._needs_reset = True
        decided: dict[str, Outcome] = {}
        step = Step.MAIL
        try:
            if "PIPELINING" in self.capabilities:
                data = await self._burst(sending, recipients, decided)
            else:
                data = await self._one_by_one(sending, recipients, decided)
            if data is None:
                return decided
            step = Step.CONTENT
            if len(decided) == len(recipients):
                await self._send_nothing()
                return decided
            reply = await self._send(sending)
        except LinkLost as error:
            if len(decided) == len(recipients):
                return decided
            raise HostFailure(lost(step, self.host, str(error)), decided) from error
        outcome = reply if isinstance(reply, Outcome) else classify(reply.summary(), Step.END, self.host)
        self._needs_reset = outcome.result is not Result.RELAYED
        decided.update((recipient, outcome) for recipient in recipients if recipient not in decided)
        return decided

    def say_goodbye(self) -> None:
        """End the session in order."""
        self._link.say_goodbye()

    def close(self) -> None:
        """Cut the connection."""
        self._link.close()

    async def _greet(self) -> None:
        greeting = await self._opening_reply(Step.GREETING)
        if greeting.code // 100 != 2:
            raise HostFailure(classify_opening(greeting.summary(), Step.GREETING, self.host))
        await self._hello()

    async def _hello(self) -> None:
        """Say EHLO, or HELO to a host that knows no EHLO (RFC 5321 §4.1.1.1)."""
        reply = await self._opening_reply(Step.HELLO, f"EHLO {self._hello_name}\r\n")
        if reply.code // 100 == 5 and not self.tls:
            self.capabilities = {}
            reply = await self._opening_reply(Step.HELLO, f"HELO {self._hello_name}\r\n")
        elif reply.code == 250:
            self.capabilities = parse_capabilities(reply)
        if reply.code // 100 != 2:
            raise HostFailure(classify_opening(reply.summary(), Step.HELLO, self.host))

    async def _secure(self, tls: str, context: ssl.SSLContext) -> None:
        if "STARTTLS" not in self.capabilities:
            if tls == "encrypt":
                raise HostFailure(tls_trouble(self.host, "it is not offered"))
            return
        reply = await self._opening_reply(Step.TLS, "STARTTLS\r\n")
        if reply.code != 220:
            if tls == "encrypt":
                raise HostFailure(tls_trouble(self.host, f"STARTTLS was answered {reply.summary()}"))
            return
        server_name = None if parse_literal(self.host.name) else self.host.name
        try:
            await self._link.start_tls(context, server_name, self._patience.greeting)
            self.tls = self._link.tls_version()
            await self._hello()
        except TlsFailed as error:
            raise self._broken_tls(tls, str(error)) from error
        except HostFailure as error:  # TLS 1.3 tells a refused handshake only at the first read
            raise self._broken_tls(tls, str(error.outcome.reply)) from error

    def _broken_tls(self, tls: str, because: str) -> Exception:
        return HostFailure(tls_trouble(self.host, because)) if tls == "encrypt" else BrokenTls(because)

    async def _opening_reply(self, step: Step, command: str = "") -> RemoteReply:
        try:
            if command:
                self._link.write(command.encode())
            return await self._link.reply(self._patience.greeting)
        except LinkLost as error:
            raise HostFailure(lost(step, self.host, str(error))) from error

    async def _burst(
        self, sending: Sending, recipients: Sequence[str], decided: dict[str, Outcome]
    ) -> SmtpReply | None:
        """Send MAIL, all RCPT and DATA at once (RFC 2920); gives the reply to DATA if it asks for content."""
        commands = [sending.mail_command(self.capabilities), *map(rcpt_command, recipients), b"DATA\r\n"]
        self._link.write(b"".join(commands))
        mail = await self._reply()
        if mail.code // 100 != 2:
            self._decide(recipients, mail, Step.MAIL, decided)
        for recipient in recipients:
            reply = await self._reply()
            if recipient not in decided and reply.code // 100 != 2:
                self._decide([recipient], reply, Step.RCPT, decided)
        return self._may_send(await self._reply(), recipients, decided)

    async def _one_by_one(
        self, sending: Sending, recipients: Sequence[str], decided: dict[str, Outcome]
    ) -> SmtpReply | None:
        mail = await self._ask(sending.mail_command(self.capabilities))
        if mail.code // 100 != 2:
            self._decide(recipients, mail, Step.MAIL, decided)
            return None
        for recipient in recipients:
            reply = await self._ask(rcpt_command(recipient))
            if reply.code // 100 != 2:
                self._decide([recipient], reply, Step.RCPT, decided)
        if len(decided) == len(recipients):
            return None
        return self._may_send(await self._ask(b"DATA\r\n"), recipients, decided)

    def _may_send(self, reply: SmtpReply, recipients: Sequence[str], decided: dict[str, Outcome]) -> SmtpReply | None:
        if reply.code == 354:
            return reply
        self._decide([name for name in recipients if name not in decided], reply, Step.DATA, decided)
        return None

    def _decide(self, recipients: Sequence[str], reply: SmtpReply, step: Step, decided: dict[str, Outcome]) -> None:
        outcome = classify(reply, step, self.host)
        decided.update((recipient, outcome) for recipient in recipients)

    async def _send(self, sending: Sending) -> RemoteReply | Outcome:
        """Send the content and the final dot; gives the reply to it, or the outcome of its absence.

        Raises LinkLost when the connection ends before the final dot, and content errors with the connection cut.
        """
        try:
            stuffer = DotStuffer()
            whole = sending.whole()
            if whole is not None:
                self._link.write(stuffer.feed(whole) + stuffer.end())
            else:
                async for chunk in sending.chunks():
                    self._link.write(stuffer.feed(chunk))
                    await self._link.drain(self._patience.block)
                self._link.write(stuffer.end())
        except LinkLost:
            early = self._link.pending_reply()  # such as "552 too large", said before the connection was closed
            if early is not None and early.code >= 400:
                return early
            raise
        except BaseException:
            self.close()
            raise
        try:
            await self._link.drain(self._patience.block)
            return await self._link.reply(self._patience.final)
        except LinkLost as error:
            return lost(Step.END, self.host, str(error))

    async def _send_nothing(self) -> None:
        """End a DATA that the host accepted although it refused every recipient (RFC 2920 §3.1)."""
        self._link.write(b".\r\n")
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
        self._link.write(command)
        return await self._reply()

    async def _reply(self) -> SmtpReply:
        reply = await self._link.reply(self._patience.command)
        if reply.code == 421:
            self._needs_reset = True
        return reply.summary()


def parse_capabilities(reply: RemoteReply) -> dict[str, str]:
    """Read the reply to EHLO: keywords in upper case with their parameters (RFC 5321 §4.1.1.1)."""
    pairs = (line.partition(" ") for line in reply.lines[1:])
    return {keyword.upper(): parameters.strip() for keyword, _, parameters in pairs if keyword}


async def say_goodbye_all(sessions: Sequence[SmtpSession]) -> None:
    """End sessions in order, and let the event loop send what that takes."""
    for session in sessions:
        session.say_goodbye()
    await asyncio.sleep(0)
