"""The life of a session: it is let in or turned away, it converses, and it ends in one of several ways."""

import asyncio
from typing import Final, cast

import structlog

from tripost_edge.firewall.offences import ENDED_FOR
from tripost_edge.listeners.client_connection import ClientConnection
from tripost_edge.listeners.context import Context, ProfileInForce
from tripost_edge.listeners.proxy_protocol import Announcement
from tripost_edge.listeners.registry import Dismissable
from tripost_edge.listeners.wire import SessionOver
from tripost_edge.session import replies
from tripost_edge.session.phase import Phase
from tripost_edge.session.session import Session
from tripost_shared.mail.client import Client

log = structlog.get_logger()

_IDLE: Final = frozenset({Phase.CONNECTED, Phase.GREETED})


class SessionLife(ClientConnection):
    """A session from admission to end. Subclasses say in `converse` what happens between.

    `instead_of` is what the registry has counted in the session's place until the connection was made; `announced` what
    a proxy has said before TLS.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        listener: ProfileInForce,
        *,
        instead_of: Dismissable | None = None,
        announced: Announcement | None = None,
    ) -> None:
        super().__init__(loop, context, listener)
        self._announced = announced
        self._instead_of = instead_of
        self._is_dismissed = False
        self._has_ended = False
        self._state = Session("", Client(""), limits=self._profile.limits)  # until the client's address is known

    async def converse(self) -> None:
        """Run the session until it is closed. Raises SessionOver."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, or turn it away when there are too many."""
        peer = transport.get_extra_info("peername")
        place = self._context.place_of(self._profile, peer[0] if peer else "")
        refusal = self._context.registry.admit(self, place, instead_of=self._instead_of)
        if refusal is None:
            super().connection_made(transport)
            return
        # It is counted nowhere, and need not be: one line fits into the empty buffers of a new connection, so it is
        # closed at once. Over TLS, where closing takes two, it is cut off after a while.
        self._connection = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.say(refusal)
        self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Free the place of a session that had ended before."""
        super().connection_lost(error)
        if self._has_ended:
            self._context.registry.leave(self)

    async def find_place(self, client: Client) -> None:
        """Count a client that a proxy has announced; raises SessionOver when there are too many, here or elsewhere."""
        registry = self._context.registry
        network = self.announced_network(client)
        refusal = registry.locate(self, network) if network else None
        if refusal is None:
            refusal = await registry.confirm(self)
        if refusal is not None:
            raise SessionOver(refusal, because=refusal.text)

    def dismiss(self) -> None:
        """End with 421 as soon as no transaction is open (the service shuts down)."""
        self._is_dismissed = True
        if self._state.phase in _IDLE:
            self._end_where_it_waits()

    def abort(self) -> None:
        """End now: with 421 if the session waits for the client, else without a word (RFC 5321 §3.8)."""
        if not self._end_where_it_waits():
            super().abort()

    def _end_where_it_waits(self) -> bool:
        if self._arrival is None and self._pause is None:
            return False
        self._end(SessionOver(replies.SHUTTING_DOWN, because="service shuts down"))
        return True

    async def _handle_client(self) -> None:
        """Run the session; its place is free once its connection is closed too, even where its end breaks."""
        try:
            await self._run()
        except Exception:
            log.exception("session broke at its end", session=self._state.id, client=self._state.client.address)
            super().abort()
        finally:
            self._has_ended = True
            if self._is_lost:
                self._context.registry.leave(self)
            else:
                self._context.registry.linger(self)

    def _note_offence(self, over: SessionOver) -> None:
        offence = over.offence or (ENDED_FOR.get(over.reply) if over.reply is not None else None)
        if offence is not None:
            self._context.offences.note(self._state, offence)

    async def _run(self) -> None:
        """Run the session from greeting to end; this is the entrance that catches everything."""
        because = "client quit"
        with_last_words = False
        try:
            await self.converse()
        except SessionOver as over:
            because = over.because
            self._note_offence(over)
            if over.reply is not None:
                self.say(over.reply)
                with_last_words = True
                say = log.debug if over.is_told else log.info
                say("session ended by us", session=self._state.id, reply=str(over.reply), because=because)
        except Exception:
            because = "something broke"
            log.exception("session broke", session=self._state.id, client=self._state.client.address)
            self.say(replies.SESSION_BROKE)
        finally:
            self._context.journal.abandoned(self._state, because)
            self._state.phase = Phase.CLOSED
            self.close(with_last_words=with_last_words)
            log.debug("session ended", session=self._state.id, because=because)
