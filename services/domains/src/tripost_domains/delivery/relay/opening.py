"""How a session with a next hop begins: connection, greeting, EHLO, TLS (RFC 5321 §3.1, RFC 3207)."""

import ssl
from typing import Final

from tripost_domains.delivery.relay.classify import HostFailure, Step, classify_opening, lost, tls_trouble
from tripost_domains.delivery.relay.host import Host, Way, parse_literal
from tripost_domains.delivery.relay.link import Link, LinkLost, TlsFailed
from tripost_domains.delivery.relay.reply import RemoteReply, parse_capabilities
from tripost_domains.delivery.relay.session import Patience, SmtpSession

FALLBACK: Final = "fallback"  # what "may" becomes where TLS is known not to work


class BrokenTls(Exception):
    """The handshake failed; a new connection may work: with TLS if it `was_cut`, in plain text if not."""

    def __init__(self, because: str, *, was_cut: bool) -> None:
        super().__init__(because)
        self.was_cut = was_cut


async def open_session(way: Way, hello_name: str, patience: Patience, context: ssl.SSLContext) -> SmtpSession:
    """Connect, greet, and begin TLS where `way.tls` ("none", "may", "encrypt", FALLBACK) and the host want it.

    Raises HostFailure; BrokenTls when it is "may" and only the handshake failed.
    """
    host, tls = way.host, way.tls
    try:
        link = await Link.connect(host.address, host.port, patience.connect)
    except LinkLost as error:
        raise HostFailure(lost(Step.CONNECT, host, str(error))) from error
    opening = _Opening(link, host, hello_name, patience)
    try:
        await opening.greet()
        if tls in {"may", "encrypt"}:
            await opening.secure(tls, context)
    except BaseException:  # also a cancellation must leave no connection behind
        link.close()
        raise
    fell_back = tls == FALLBACK or opening.was_refused_tls
    return SmtpSession(link, host, opening.capabilities, patience, fell_back=fell_back)


class _Opening:
    """What is said before the first transaction.

    `capabilities` are what the host offers in the end; `was_refused_tls`: it had offered TLS, and then said no.
    """

    def __init__(self, link: Link, host: Host, hello_name: str, patience: Patience) -> None:
        self.capabilities: dict[str, str] = {}
        self.was_refused_tls = False
        self._link = link
        self._host = host
        self._hello_name = hello_name
        self._patience = patience
        self._is_encrypted = False

    async def greet(self) -> None:
        """Wait for the greeting and say EHLO."""
        greeting = await self._reply(Step.GREETING)
        if greeting.code // 100 != 2:
            raise HostFailure(classify_opening(greeting.summary(), Step.GREETING, self._host))
        await self._hello()

    async def secure(self, tls: str, context: ssl.SSLContext) -> None:
        """Begin TLS if the host offers it."""
        if "STARTTLS" not in self.capabilities:
            if tls == "encrypt":
                raise HostFailure(tls_trouble(self._host, "it is not offered"))
            return
        reply = await self._reply(Step.TLS, "STARTTLS\r\n")
        if reply.code != 220:
            if tls == "encrypt":
                raise HostFailure(tls_trouble(self._host, f"STARTTLS was answered {reply.summary()}"))
            if reply.code == 421:  # it hangs up
                raise HostFailure(classify_opening(reply.summary(), Step.TLS, self._host))
            self.was_refused_tls = True
            return  # RFC 3207 §4: whether to go on without TLS is for the client to decide
        await self._shake_hands(tls, context)

    async def _hello(self) -> None:
        """Say EHLO, or HELO to a host that knows no EHLO (RFC 5321 §4.1.1.1)."""
        self.capabilities = {}  # what was said before TLS counts no more (RFC 3207 §4.2)
        reply = await self._reply(Step.HELLO, f"EHLO {self._hello_name}\r\n")
        if reply.code // 100 == 5 and not self._is_encrypted:
            reply = await self._reply(Step.HELLO, f"HELO {self._hello_name}\r\n")
        elif reply.code == 250:
            self.capabilities = parse_capabilities(reply)
        if reply.code // 100 != 2:
            raise HostFailure(classify_opening(reply.summary(), Step.HELLO, self._host))

    async def _shake_hands(self, tls: str, context: ssl.SSLContext) -> None:
        server_name = None if parse_literal(self._host.name) else self._host.name
        try:
            await self._link.start_tls(context, server_name, self._patience.greeting)
        except TlsFailed as error:
            raise self._broken_tls(tls, str(error), was_cut=error.was_cut) from error
        except LinkLost as error:
            raise HostFailure(lost(Step.TLS, self._host, str(error))) from error
        self._is_encrypted = True
        try:
            await self._hello()
        except HostFailure as error:
            if self._link.handshake_was_refused:
                raise self._broken_tls(tls, str(error.outcome.reply), was_cut=False) from error
            raise

    def _broken_tls(self, tls: str, because: str, *, was_cut: bool) -> Exception:
        if tls == "encrypt":
            return HostFailure(tls_trouble(self._host, because))
        return BrokenTls(because, was_cut=was_cut)

    async def _reply(self, step: Step, command: str = "") -> RemoteReply:
        try:
            if command:
                self._link.command(command.encode())
            return await self._link.reply(self._patience.greeting)
        except LinkLost as error:
            raise HostFailure(lost(step, self._host, str(error))) from error
