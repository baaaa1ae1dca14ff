"""Who is at the other end of the wire: the PROXY protocol, the address, TLS."""

import asyncio
import contextlib
import ssl
from typing import Final

import structlog

from tripost_edge.firewall.foreign_protocols import PROXY_SIGN_OCTETS, begins_http, is_proxy_header, is_tls
from tripost_edge.firewall.networks import is_of_this_machine, plain_address
from tripost_edge.firewall.offences import Offence
from tripost_edge.limits.pace import Patience
from tripost_edge.listeners.context import Context, ProfileInForce
from tripost_edge.listeners.proxy_protocol import Announcement, MalformedHeader, read_header
from tripost_edge.listeners.wire import SessionOver, Wire
from tripost_edge.session.xclient import Announced
from tripost_shared.mail.client import Client, ListenerKind

log = structlog.get_logger()

HTTP_VERB_OCTETS: Final = 8
MAX_PROXY_HEADER_OCTETS: Final = 4096
NOT_TRUSTED: Final = "proxy is not a trusted one"


class ClientConnection(Wire):
    """A connection of one of our listeners."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context, listener: ProfileInForce) -> None:
        self._listener = listener
        self._profile = profile = listener.current  # what does not change while the session goes on
        super().__init__(loop, Patience.of(profile.limits))
        self._context = context
        self._announced: Announcement | None = None  # by a proxy; known already where that came before TLS
        self._is_announced = profile.proxies is not None  # somebody else says who the client is
        self._is_unannounced = False  # a proxy is there, but names no client
        self._speaker: Client | None = None  # who has connected, before it spoke for others
        self._is_proxy_itself = False  # since it is the proxy that wants to know how we are

    async def identify(self) -> Client:
        """Find out who the client is; on a proxy's listener the proxy says it first. Raises SessionOver.

        A proxy that names no client (LOCAL: its own health check; UNKNOWN) is met under its own address, and as a
        stranger: it has neither the exemptions of loopback nor the rights of the network that it is in.
        """
        address, port = self._peer()
        if self._is_announced:
            announced = self._announced or await self._announced_by(address)
            self._is_unannounced = not announced.address
            self._is_proxy_itself = announced.is_of_proxy
            if announced.address:
                address, port = announced.address, announced.port
        client = Client(
            address,
            port,
            self._profile.name,
            self._profile.kind,
            announced_by_proxy=self._is_announced,
            tls=self.tls_in_words(),
            relay_permitted=self.may_relay(address),
            unnamed_by_proxy=self._is_unannounced,
        )
        self._speaker = None if self._is_unannounced else client
        return client

    def announced_network(self, client: Client) -> str:
        """Name the network that a client counts to whom a proxy has announced; "" where none has."""
        if not self._is_announced or self._is_unannounced:
            return ""
        return self._context.relay.counted_network(client.address, announced_by_proxy=True)

    def may_relay(self, address: str) -> bool:
        """Whether the client may relay without a login, by the configuration in force now.

        On an internal listener this machine itself may, too.
        """
        if self._is_unannounced:
            return False
        relay, announced = self._context.relay, self._is_announced
        if self._profile.kind is ListenerKind.INTERNAL and not announced and is_of_this_machine(address):
            return True
        return relay.permits(address, announced_by_proxy=announced)

    def may_take_over(self) -> bool:
        """Whether who has connected may say by XCLIENT whom it speaks for, by the configuration in force now."""
        speaker = self._speaker
        return speaker is not None and self._context.xclient.permits(
            speaker.address, announced_by_proxy=speaker.announced_by_proxy
        )

    def taken_over(self, client: Client, announced: Announced) -> Client:
        """Give the client that XCLIENT has announced in this one's place; nothing that this one said is its."""
        address = client.address
        if announced.address is not None:
            self._is_announced, self._is_unannounced = True, not announced.address
            address = announced.address or address
        return Client(
            address,
            announced.port or client.port,
            client.listener,
            client.kind,
            announced_by_proxy=self._is_announced,
            tls=client.tls,
            relay_permitted=self.may_relay(address),
            unnamed_by_proxy=self._is_unannounced,
        )

    async def expect_smtp(self, client: Client) -> None:
        """Wait for the first octets; raises SessionOver when they are of another protocol."""
        self._pace.wait_for_command(self.loop.time())
        while not len(self._inbox):
            await self.more()
        self._pace.stop_waiting()
        self.refuse_foreign_protocols(client)

    async def talks_within(self, seconds: float) -> bool:
        """Tell whether the client says something before it is greeted, within so long. Raises SessionOver."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not len(self._inbox):
                    await self.more()
        return len(self._inbox) > 0

    def refuse_foreign_protocols(self, client: Client) -> None:
        """Raise SessionOver where the first octets are HTTP, a TLS handshake, or a proxy's header.

        A header of somebody who is no proxy of ours would be believed by nobody.
        """
        if begins_http(self._inbox.peek(HTTP_VERB_OCTETS)):
            raise self.cut_off(client.address, "client speaks HTTP", Offence.PROTOCOL)
        if is_tls(self._inbox.peek(1)):
            raise self.cut_off(client.address, "client speaks TLS on a plain port", Offence.PROTOCOL)
        if is_proxy_header(self._inbox.peek(PROXY_SIGN_OCTETS)):
            raise self.cut_off(client.address, "client sends a PROXY header, where no proxy is", Offence.PROTOCOL)

    async def start_tls(self) -> None:
        """Do the TLS handshake; raises SessionOver when it fails, or when octets came before it."""
        if self._connection is None or len(self._inbox):
            raise SessionOver(None, because="octets follow STARTTLS in plain text")
        try:
            connection = await self.loop.start_tls(
                self._connection,
                self,
                self._context.tls.context(self._profile.tls_policy),
                server_side=True,
                ssl_handshake_timeout=self._profile.limits.tls_handshake_seconds,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._cut_off()
            raise SessionOver(None, because=f"TLS handshake failed: {error}") from error
        if connection is None:
            raise SessionOver(None, because="connection lost in the TLS handshake")
        self._connection = connection

    def tls_in_words(self) -> str:
        """Give version and cipher, such as "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" on plain text."""
        tls = self._connection.get_extra_info("ssl_object") if self._connection is not None else None
        if tls is None:
            return ""
        cipher = tls.cipher()
        return f"{tls.version()} {cipher[0]}" if cipher else str(tls.version())

    def cut_off(self, address: str, because: str, offence: Offence | None = None) -> SessionOver:
        """Say in the log that a client is cut off without a word; gives what to raise."""
        log.info("client cut off", client=address, listener=self._profile.name, because=because)
        return SessionOver(None, because=because, offence=offence)

    async def _announced_by(self, proxy: str) -> Announcement:
        """Read the PROXY header that the proxy must send first, in time."""
        if self._profile.proxies is None or not self._profile.proxies.contain(proxy):
            raise self.cut_off(proxy, NOT_TRUSTED)
        try:
            async with asyncio.timeout(self._profile.limits.proxy_header_seconds):
                while (announced := read_header(self._inbox.peek(MAX_PROXY_HEADER_OCTETS))) is None:
                    await self.more()
        except MalformedHeader as error:
            raise self.cut_off(proxy, f"malformed PROXY header: {error}") from error
        except TimeoutError as error:
            raise self.cut_off(proxy, "no PROXY header in time") from error
        self._inbox.skip(announced.octets)
        return announced

    def _peer(self) -> tuple[str, int]:
        peer = self._connection.get_extra_info("peername") if self._connection is not None else None
        if not peer:
            raise SessionOver(None, because="client went away at once")
        return plain_address(peer[0]), peer[1]
