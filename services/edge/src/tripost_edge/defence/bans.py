"""Bans in force in this worker: heard at once, read as a whole at start, after an outage, and every half a minute."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from tripost_edge import metrics
from tripost_edge.firewall.bans import BanTable
from tripost_edge.firewall.networks import RelayAccess
from tripost_edge.ports import BansUnavailable, Clock, HeardBans
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.contracts.bans import Ban
from tripost_shared.mail.client import Client
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

READ_EVERY_SECONDS: Final = 30.0
TRY_AGAIN_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 60.0  # without a reading, before it is told as such


class BansInForce:
    """Says who is banned. Loopback, relay networks, proxies and clients that a rule allows never are."""

    def __init__(self, bans: HeardBans, relay: RelayAccess, clock: Clock) -> None:
        self.table = BanTable()
        self._bans = bans
        self._relay = relay
        self._clock = clock
        self._missed = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._failing_since: float | None = None
        self._because = ""
        bans.hear(self._take, self._missed.set)

    @property
    def trouble(self) -> str:
        """Why bans may not be known; "" when all is well."""
        if self.table.is_full:
            return f"there are {len(self.table)} bans, which is the most: clients are not banned any more"
        if self._failing_since is None or self._clock.monotonic() - self._failing_since < TROUBLE_SECONDS:
            return ""
        return f"bans cannot be read: {self._because}"

    async def start(self) -> None:
        """Read all bans, and follow them from now on."""
        await self._read()
        self._follower = asyncio.create_task(self._follow())

    def stop(self) -> None:
        """Follow them no more."""
        if self._follower is not None:
            self._follower.cancel()

    def refusal(self, session: Session) -> SmtpReply | None:
        """Give what to say to a banned client, None to others; cheap unless a ban has changed meanwhile."""
        table = self.table
        if session.bans_known == table.generation or (len(table) and self.exempts(session)):
            return None
        client = session.client
        ban = table.holding(client.address, self._clock.now(), has_login=bool(client.login)) if len(table) else None
        if ban is None:
            session.bans_known = table.generation
            return None
        metrics.turned_away["ban"].inc()
        return banned(session.client, ban)

    def exempts(self, session: Session) -> bool:
        """Whether a client is never banned: it is one of ours, a proxy, or an access rule allows it."""
        client = session.client
        if session.is_allowed or client.unnamed_by_proxy:
            return True
        return not self._relay.counted_network(client.address, announced_by_proxy=client.announced_by_proxy)

    async def put(self, ban: Ban, keep_until: datetime) -> None:
        """Ban a network on all replicas; in this worker at once, whatever becomes of the others' hearing."""
        self._take(ban)
        try:
            await self._bans.put(ban, keep_until)
        except BansUnavailable as error:
            log.warning("ban is not known to the other replicas", network=ban.network, because=str(error))

    def _take(self, ban: Ban) -> None:
        self.table.hear(ban, self._clock.monotonic())

    async def _follow(self) -> None:
        while True:
            pause = READ_EVERY_SECONDS if self._failing_since is None else TRY_AGAIN_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._missed.wait()
            except TimeoutError:
                pass  # nothing was missed: it is read all the same
            self._missed.clear()
            await self._read()

    async def _read(self) -> None:
        try:
            bans = await self._bans.all()
        except BansUnavailable as error:
            self._because = str(error)
            if self._failing_since is None:
                self._failing_since = self._clock.monotonic()
                log.warning("bans cannot be read", because=self._because)
        except Exception as error:  # an entrance: bans must be followed, whatever it was
            self._because = repr(error)
            self._failing_since = self._failing_since or self._clock.monotonic()
            log.exception("bans cannot be read")
        else:
            self._failing_since = None
            self.table.replace(bans, self._clock.monotonic())
            metrics.bans_in_force.set(self.table.in_force(self._clock.now()))


def banned(client: Client, ban: Ban) -> SmtpReply:
    """Say since when, and why; 4yz, so that honest mail waits for the end."""
    until = (ban.until.astimezone(UTC) + timedelta(seconds=0.999)).strftime("%Y-%m-%d %H:%M:%S")
    return replies.banned(client.address, until, ban.reason)
