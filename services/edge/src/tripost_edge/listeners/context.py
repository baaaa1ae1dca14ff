"""What all sessions of a worker share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tripost_edge.defence.bans import BansInForce
from tripost_edge.defence.offences import Offences
from tripost_edge.firewall.networks import Networks, RelayAccess, plain_address
from tripost_edge.firewall.xclient_access import XclientAccess
from tripost_edge.limits.one_address import OneAddress
from tripost_edge.limits.short_memory import ShortMemory
from tripost_edge.listeners.registry import Place, Registry
from tripost_edge.listeners.tls import TlsContexts, TlsPolicy
from tripost_edge.ports import Clock
from tripost_edge.stages.access import Access
from tripost_edge.stages.auth import Auth
from tripost_edge.stages.connect import Connect
from tripost_edge.stages.data import Data
from tripost_edge.stages.hello import Hello
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.mail import Mail
from tripost_edge.stages.rcpt import Rcpt
from tripost_shared.contracts.listeners import TlsMode
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind


@dataclass(frozen=True, slots=True)
class Stages:
    """What is decided at each command."""

    access: Access
    connect: Connect
    hello: Hello
    auth: Auth
    mail: Mail
    rcpt: Rcpt
    data: Data


@dataclass(frozen=True, slots=True)
class ListenerProfile:
    """What a listener is for, and what holds for its clients.

    With `proxies` its clients are announced by the PROXY protocol from these networks. `mechanisms` of SASL: empty for
    the default ones. `own_limits` are in `limits` already.
    """

    name: str
    kind: ListenerKind
    tls: TlsMode = TlsMode.STARTTLS
    tls_policy: TlsPolicy = field(default_factory=TlsPolicy)
    proxies: Networks | None = None
    mechanisms: tuple[str, ...] = ()
    check_author: bool = True
    own_limits: Mapping[str, int | float] = field(default_factory=dict)
    limits: EdgeLimits = field(default_factory=EdgeLimits)

    @property
    def is_tls_first(self) -> bool:
        """Whether TLS begins with the first octet."""
        return self.tls is TlsMode.IMPLICIT


class ProfileInForce:
    """The profile of a listener: a change of the configuration replaces it while sessions go on."""

    def __init__(self, profile: ListenerProfile) -> None:
        self.current = profile


@dataclass(frozen=True, slots=True)
class Context:
    """What a session needs that is not its own."""

    hostname: str
    stages: Stages
    journal: Journal
    tls: TlsContexts
    registry: Registry
    relay: RelayAccess
    bans: BansInForce
    offences: Offences
    patient: ShortMemory[str, bool]  # addresses whose clients have waited for their greeting
    xclient: XclientAccess
    one_address: OneAddress
    clock: Clock

    def place_of(self, profile: ListenerProfile, address: str) -> Place:
        """Say what a client counts as that has connected from an address ("": not known, it has gone already).

        One behind a proxy counts to its network once the proxy has announced it.
        """
        if profile.proxies is not None or not address:
            return Place(profile.kind)
        return Place(profile.kind, self.relay.counted_network(plain_address(address), announced_by_proxy=False))
