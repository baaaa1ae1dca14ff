"""A client is met: let in by rules and bans, and greeted unless it talks first (RFC 5321 §3.1)."""

from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.firewall.networks import is_of_this_machine
from tripost_edge.firewall.offences import Offence
from tripost_edge.listeners.content_transfer import ContentTransfer
from tripost_edge.listeners.wire import SessionOver
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.contracts.listeners import TlsMode
from tripost_shared.mail.client import Client, ListenerKind
from tripost_shared.mail.identifier import new_session_id
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

AT_ONCE_SECONDS: Final = 0.002  # in which what a hasty client on this machine or beside it says has come


class Greeting(ContentTransfer):
    """A session up to its greeting, and what ends one for who its client is."""

    async def _meet(self, client: Client, *, is_announced: bool = False) -> None:
        """Begin the session of a client, up to the greeting, unless it is not let in. Raises SessionOver."""
        self._state = Session(
            new_session_id(self._context.clock.now()),
            client,
            limits=self._profile.limits,
            offers_tls=self._profile.tls is not TlsMode.NONE,
            mechanisms=self._profile.mechanisms,
        )
        self._state.client_is_proxy = not is_announced and (self._is_proxy_itself or self.may_take_over())
        refusal = self._heeded(await self._stages.access.meet(self._state))
        self._context.one_address.note(self._state, is_loopback=is_of_this_machine(self._state.client.address))
        self._end_with(refusal)
        self._end_if(self._context.bans.refusal(self._state))
        metrics.sessions_begun[self._profile.kind].inc()
        log.debug("session begun", session=self._state.id, client=self._state.client.address)
        if not self._is_proxy_itself:
            self._expect_one_of_ours()
        self._stages.connect.begin(self._state)
        if not is_announced and not self.may_take_over():  # it is the proxy that talks
            await self._await_silence()
        self._end_if_dismissed()
        self.say(replies.greeting(self._context.hostname))

    def _expect_one_of_ours(self) -> None:
        """Raise SessionOver on an internal listener for a client that may not relay."""
        if self._profile.kind is ListenerKind.INTERNAL and not self._state.client.relay_permitted:
            reply = self._context.journal.refused(self._state, "connect", replies.NOT_FOR_YOU)
            raise SessionOver(reply, because="client is in no relay network")

    async def _await_silence(self) -> None:
        """Let a client that nobody knows wait for its greeting; raises SessionOver where it does not.

        Those that send without listening, as many senders of spam do, are found so. Who has waited once is known for
        a while, and is greeted at once, unless it is so near and so hasty that it has talked already.
        """
        client = self._state.client
        delay = self._profile.limits.greeting_delay_seconds
        if not delay or client.tls or client.kind is not ListenerKind.MX:
            return
        if self._state.is_allowed or client.relay_permitted or client.unnamed_by_proxy:
            return
        if self._context.patient.get(client.address):
            await self.pause(AT_ONCE_SECONDS)
        elif not await self.talks_within(delay):
            self._context.patient.put(client.address, True)
        if not len(self._inbox):
            return
        self.refuse_foreign_protocols(client)
        metrics.turned_away["early"].inc()
        reply = self._context.journal.refused(self._state, "connect", replies.TALKED_TOO_EARLY)
        raise SessionOver(
            reply, because="client talked before it was greeted", offence=Offence.EARLY_TALKER, is_told=True
        )

    def _end_if_dismissed(self) -> None:
        """Raise SessionOver where the session was dismissed while it did not wait for its client."""
        if self._is_dismissed and self._state.transaction is None:
            raise SessionOver(replies.SHUTTING_DOWN, because="service shuts down")

    def _end_if(self, reply: SmtpReply | None) -> None:
        """Record that the client has gone on for too long, and raise SessionOver, where a reply says so."""
        if reply is not None:
            self._context.journal.refused(self._state, "connect", reply)
            raise SessionOver(reply, because=reply.text, is_told=True)

    def _end_with(self, reply: SmtpReply | None) -> None:
        if reply is not None:
            raise SessionOver(reply, because=reply.text)

    def _heeded(self, refusal: SmtpReply | None) -> SmtpReply | None:
        """Hold replies back from now on, or no more, as the access rules have just said; gives their refusal."""
        self.tarpit_seconds = self._state.admission.tarpit_seconds
        return refusal
