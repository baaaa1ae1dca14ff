"""An SMTP session on the wire: commands are read, their stage decides, the reply is said (RFC 5321 §4)."""

# ruff: noqa: N802 (aiosmtpd names the method of a command after its verb)

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.firewall.foreign_protocols import is_http
from tripost_edge.firewall.offences import Offence
from tripost_edge.limits.pace import Patience
from tripost_edge.listeners.greeting import Greeting
from tripost_edge.listeners.wire import SessionOver
from tripost_edge.session import replies
from tripost_edge.session.chunk_reader import announces_chunk
from tripost_edge.session.command import EVENTS, NOT_IMPLEMENTED, WITHOUT_ARGUMENT, Command, parse_command
from tripost_edge.session.inbox import LineTooLong
from tripost_edge.session.phase import NEXT_PHASE, Event, Phase, refusal
from tripost_edge.session.pipelining import take_recipients
from tripost_edge.session.session import Session
from tripost_edge.session.tally import PROTOCOL_ERRORS
from tripost_edge.session.xclient import parse_xclient
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

log = structlog.get_logger()

LEADING_NOWHERE: Final = frozenset({Event.HELLO, Event.RSET, Event.OTHER})  # by themselves; a message needs others
_MEASURED: Final[Mapping[Event, str]] = MappingProxyType(
    {
        Event.AUTH: "auth",
        Event.MAIL: "mail",
        Event.RCPT: "rcpt",
        Event.DATA: "data",
        Event.BDAT: "data",
    }
)


class SmtpSession(Greeting):
    """Joins the wire with the stages. The table in `session.phase` alone says which command has its place when."""

    _has_place_of_announced = False  # XCLIENT has said from where the client is, and it was counted there
    _held_back_seconds: float = 0.0  # how long the replies that are due are to be held back

    async def converse(self) -> None:
        """Greet the client and obey its commands. Raises SessionOver."""
        client = await self.identify()
        await self.find_place(client)
        await self._meet(client)
        if not client.tls:
            await self.expect_smtp(client)
        while self._state.phase is not Phase.CLOSED:
            self._end_if_dismissed()
            await self._take_command()
            if self._held_back_seconds:
                await self._hold_back()
        if self.tarpit_seconds:
            self._pace.wait_for_command(self.loop.time())  # the client may take no replies
            await self.flush()

    async def _take_command(self) -> None:
        """Read a command and do it, by the limits of that moment."""
        is_whole = True
        try:
            line = await self.read_line()
        except LineTooLong as error:
            line, is_whole = error.beginning, False
        state, profile = self._state, self._listener.current
        limits = profile.limits
        state.check_author = profile.check_author
        if limits is not state.limits:
            state.limits = limits
            self.grant(Patience.of(limits))
        self._end_if(self._context.bans.refusal(state) or state.tally.command(limits))
        try:
            if not is_whole:
                raise PermanentFailure(replies.LINE_TOO_LONG, because="command line too long")
            command = parse_command(line, limits.command_line_octets)
        except PermanentFailure as failure:
            self._refuse_line(line.decode("ascii", "replace"), failure.reply)
        else:
            await self._obey(command)

    def _refuse_line(self, line: str, reply: SmtpReply) -> None:
        """Refuse what is no command; raises SessionOver where octets of a chunk may follow: none is a command."""
        if announces_chunk(line):
            raise SessionOver(reply, because="BDAT that cannot be read")
        self._refuse(reply)

    async def _obey(self, command: Command) -> None:
        """Do a command, if it has its place; what breaks in it is a 451."""
        verb, argument = command
        event = EVENTS.get(verb)
        if event is None:
            if is_http(verb):
                raise self.cut_off(self._state.client.address, "client speaks HTTP", Offence.PROTOCOL)
            reply = replies.NOT_IMPLEMENTED if verb in NOT_IMPLEMENTED else replies.NOT_RECOGNISED
            self._refuse_line(verb or argument, reply)
            return
        if argument and verb in WITHOUT_ARGUMENT:
            self._refuse(replies.NO_ARGUMENT_ALLOWED)
            return
        out_of_sequence = refusal(self._state.phase, event)
        if out_of_sequence is not None and event is not Event.BDAT:  # whose octets must be read first
            self._refuse(out_of_sequence)
            return
        if event in LEADING_NOWHERE:
            self._end_if(self._state.tally.idle_command(self._state.limits))
        started = self.loop.time()
        try:
            await _METHODS[verb](self, argument)
        except SessionOver:
            raise
        except Exception:
            if self._state.phase is Phase.RECEIVING or event is Event.BDAT:  # where content ends is not known any more
                raise
            log.exception("command broke", session=self._state.id, verb=verb)
            self.say(TRY_LATER)
        stage = _MEASURED.get(event)
        if stage is not None:
            metrics.seconds[stage].observe(self.loop.time() - started)

    def _answer(self, event: Event, reply: SmtpReply) -> None:
        """Say the reply; when the command was done, the phase moves on."""
        if reply.is_positive:
            self._state.phase = NEXT_PHASE[self._state.phase, event]
            self.say(reply)
        else:
            self._refuse(reply)

    def _refuse(self, reply: SmtpReply) -> None:
        """Say a refusal; too many slips of the protocol, and replies that close, end the session."""
        if reply.code == 421:
            raise SessionOver(reply, because=reply.text)
        self.say(reply)
        tally, limits = self._state.tally, self._state.limits
        over = tally.refusal(reply, limits)
        if reply.enhanced == replies.UNKNOWN_RECIPIENT.enhanced and self._state.seems_to_sweep:
            self._context.offences.note(self._state, Offence.UNKNOWN_RECIPIENTS)
        self._end_if(over)
        self._held_back_seconds += tally.delay_seconds(reply, limits)

    async def _hold_back(self) -> None:
        """Let a client wait for its replies that makes one slip after another."""
        seconds, self._held_back_seconds = self._held_back_seconds, 0.0
        await self.pause(seconds)

    # The commands

    async def smtp_EHLO(self, hostname: str) -> None:
        """EHLO: drops the transaction, says the name, lists what works."""
        await self._stages.auth.offer(self._state)
        self._state.offers_xclient = self.may_take_over()
        await self._greet(self._stages.hello.ehlo, hostname, "EHLO")

    async def smtp_HELO(self, hostname: str) -> None:
        """HELO: drops the transaction, says the name."""
        await self._greet(self._stages.hello.helo, hostname, "HELO")

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """STARTTLS: everything said so far is forgotten (RFC 3207 §4.2); nothing may already follow it."""
        if self._state.client.tls or not self._state.offers_tls:
            self._refuse(replies.TLS_IN_USE if self._state.client.tls else replies.NOT_IMPLEMENTED)
            return
        if len(self._inbox):
            raise SessionOver(replies.PIPELINED_STARTTLS, because="octets follow STARTTLS in plain text")
        self.say(replies.READY_FOR_TLS)
        self._pace.wait_for_command(self.loop.time())  # the client may take no replies
        await self.flush()
        self._pace.stop_waiting()
        await self.start_tls()
        self._state.phase = NEXT_PHASE[self._state.phase, Event.STARTTLS]
        self._state.learn(tls=self.tls_in_words(), helo="", esmtp=False)

    async def smtp_XCLIENT(self, arg: str) -> None:
        """XCLIENT: a proxy says whom it speaks for; the session begins anew, as that client's, with the greeting."""
        if not self.may_take_over():
            self._refuse(self._context.journal.refused(self._state, "connect", replies.XCLIENT_DENIED))
            return
        try:
            announced = parse_xclient(arg)
        except PermanentFailure as failure:
            self._refuse(failure.reply)
            return
        self._state.phase = Phase.CLOSED  # nothing of the session before goes on
        client = self.taken_over(self._state.client, announced)
        if not self._has_place_of_announced and self.announced_network(client):
            self._has_place_of_announced = True
            await self.find_place(client)
        await self._meet(client, is_announced=True)

    async def smtp_AUTH(self, arg: str) -> None:
        """AUTH: the stage converses with the client through us."""
        self._answer(Event.AUTH, await self._stages.auth.take(self._state, arg, self._challenge))

    async def smtp_MAIL(self, arg: str | None) -> None:
        """MAIL: a transaction begins, by the configuration and the policy that are in force now."""
        state = self._state
        if self.may_relay(state.client.address) is not state.client.relay_permitted:
            state.learn(relay_permitted=not state.client.relay_permitted)
            state.judgement = None
        self._expect_one_of_ours()
        refusal = self._heeded(await self._stages.access.mail(state))
        if refusal is not None:
            self._refuse(refusal)
            return
        self._stages.connect.renew(state)
        self._answer(Event.MAIL, await self._stages.mail.take(self._state, arg or ""))
        self._stages.access.note(state)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """RCPT: this one, and those that the client has pipelined behind it."""
        limits = self._state.limits
        arguments = [arg or "", *take_recipients(self._inbox, limits.command_line_octets)]
        self.count_lines(len(arguments) - 1)
        self._end_if(self._state.tally.command(limits, count=len(arguments) - 1))
        for reply in await self._judged(arguments):
            self._answer(Event.RCPT, reply)

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take the content and answer for it (DATA)."""
        self._answer(Event.DATA, await self._stages.data.begin(self._state))
        if self._state.phase is not Phase.RECEIVING:
            return
        self.say(await self.take_content())

    async def smtp_BDAT(self, arg: str) -> None:
        """Take a chunk of the content, and answer for the message after the last one (BDAT)."""
        reply = await self.take_chunk(arg)
        if reply.code in PROTOCOL_ERRORS or reply is replies.NO_VALID_RECIPIENTS:
            self._refuse(reply)
        else:
            self.say(reply)

    async def smtp_RSET(self, arg: str | None) -> None:
        """RSET: the transaction is dropped."""
        await self.forget_chunks()
        self._context.journal.abandoned(self._state, "RSET")
        self._answer(Event.RSET, replies.OK)

    async def smtp_QUIT(self, arg: str | None) -> None:
        """QUIT: the session ends."""
        self._answer(Event.QUIT, replies.BYE)

    async def smtp_NOOP(self, arg: str) -> None:
        """NOOP: nothing."""
        self._answer(Event.OTHER, replies.OK)

    async def smtp_HELP(self, arg: str) -> None:
        """HELP: a pointer."""
        self._answer(Event.OTHER, replies.HELP)

    async def smtp_VRFY(self, arg: str | None) -> None:
        """VRFY: tells nothing (RFC 5321 §7.3)."""
        self._answer(Event.OTHER, replies.CANNOT_VERIFY if arg else replies.ARGUMENT_NEEDED)

    # Their helpers

    async def _greet(self, hello: Callable[[Session, str], SmtpReply], hostname: str, verb: str) -> None:
        before = self._state.client
        reply = hello(self._state, hostname)
        if reply.is_positive and (refusal := self._heeded(await self._stages.access.hello(self._state))) is not None:
            self._state.client = before  # as if it had not been said
            reply = refusal
        if reply.is_positive:  # a new greeting drops the transaction (RFC 5321 §4.1.4)
            await self.forget_chunks()
            self._context.journal.abandoned(self._state, verb)
        self._answer(Event.HELLO, reply)

    async def _judged(self, arguments: list[str]) -> list[SmtpReply]:
        """Give a reply for each RCPT that was taken, whatever breaks: the client counts them."""
        transaction = self._state.transaction
        given = len(transaction.recipients) if transaction is not None else 0
        try:
            return await self._stages.rcpt.take(self._state, arguments)
        except Exception:
            log.exception("command broke", session=self._state.id, verb="RCPT", taken_together=len(arguments))
            if transaction is not None:
                transaction.keep_recipients(given)
            return [TRY_LATER] * len(arguments)

    async def _challenge(self, challenge: SmtpReply) -> str:
        """Say a SASL challenge, give the response."""
        self.say(challenge)
        try:
            return (await self.read_line()).decode("latin-1")
        except LineTooLong as error:
            raise PermanentFailure(replies.AUTH_LINE_TOO_LONG, because="SASL response too long") from error


_Method = Callable[[SmtpSession, str], Awaitable[None]]
_METHODS: Final[Mapping[str, _Method]] = MappingProxyType(
    {
        "EHLO": SmtpSession.smtp_EHLO,
        "HELO": SmtpSession.smtp_HELO,
        "STARTTLS": SmtpSession.smtp_STARTTLS,
        "XCLIENT": SmtpSession.smtp_XCLIENT,
        "AUTH": SmtpSession.smtp_AUTH,
        "MAIL": SmtpSession.smtp_MAIL,
        "RCPT": SmtpSession.smtp_RCPT,
        "DATA": SmtpSession.smtp_DATA,
        "BDAT": SmtpSession.smtp_BDAT,
        "RSET": SmtpSession.smtp_RSET,
        "QUIT": SmtpSession.smtp_QUIT,
        "NOOP": SmtpSession.smtp_NOOP,
        "HELP": SmtpSession.smtp_HELP,
        "VRFY": SmtpSession.smtp_VRFY,
    }
)
