"""Rates: which limits hold for a piece of mail, and under which keys it is counted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network
from types import MappingProxyType
from typing import Final

from tripost_shared.access.network_table import NetworkTable, parsed_address
from tripost_shared.contracts.control import Amounts, Rate, RateOverride, RateScope
from tripost_shared.counters.port import CLIENTS, DOMAINS, OURS
from tripost_shared.mail.address import Address, InvalidAddress, folded, normalise_domain
from tripost_shared.networks import parse_network

MESSAGES: Final = "rate-messages"  # kinds of shared counts
RECIPIENTS: Final = "rate-recipients"
WARNED: Final = "rate-warned"
NOUNS: Final[Mapping[str, str]] = MappingProxyType({MESSAGES: "messages", RECIPIENTS: "recipients"})
WINDOWS: Final[Mapping[int, str]] = MappingProxyType({60: "a minute", 3600: "an hour", 86_400: "a day"})
_GROUPS: Final[Mapping[RateScope, str]] = MappingProxyType(
    {RateScope.LOGIN: OURS, RateScope.CLIENT: CLIENTS, RateScope.SENDER_DOMAIN: DOMAINS}
)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many of one kind may pass for one key in one window: what is compared with a count.

    `count_key` is the key of the shared counts: rates that count the same key do so apart.
    """

    rate: str
    kind: str
    key: str
    window_seconds: int
    most: int

    @property
    def count_key(self) -> str:
        """The key of the count."""
        return f"{self.rate}|{self.key}"

    @property
    def group(self) -> str:
        """The group of the count: strangers choose their domains, and some have many addresses."""
        return _GROUPS[RateScope(self.key.partition(":")[0])]

    @property
    def in_words(self) -> str:
        """Say it as a reply does: `100 in an hour for login ann@example.org`."""
        scope, _, name = self.key.partition(":")
        return f"{self.most} in {WINDOWS[self.window_seconds]} for {scope} {name}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose mail it is. `address` is "" where nobody knows it; `is_local`: it connected from this machine itself."""

    address: str = ""
    login: str = ""
    reverse_path: str = ""
    is_local: bool = False


class Rates:
    """The rates of a configuration; `unreadable` are the names of those with a key that nobody can read: left out."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        self.unreadable: list[str] = []
        self._rates: dict[str, _Compiled] = {}
        for rate in rates:
            try:
                if rate.enabled:
                    self._rates[rate.name] = _Compiled(rate)
            except ValueError:
                self.unreadable.append(rate.name)
        self._of_all = [compiled for compiled in self._rates.values() if not compiled.rate.only_by_rule]

    @property
    def are_none(self) -> bool:
        """Whether nothing is counted."""
        return not self._rates

    def limits(self, kind: str, sender: Sender, by_rule: Iterable[str] = ()) -> list[Limit]:
        """Give what holds for this sender's mail, rates that only rules name included where one did."""
        named = (self._rates[name] for name in by_rule if name in self._rates)
        applying = dict.fromkeys([*self._of_all, *named])
        return [limit for compiled in applying for limit in compiled.limits(kind, sender)]

    def limits_of_key(self, key: str) -> list[Limit]:
        """Give all limits that a key (`login:ann@example.org`) may meet."""
        found: list[Limit] = []
        for compiled in self._rates.values():
            scope, _, name = key.partition(":")
            if scope == compiled.rate.per:
                for kind in (MESSAGES, RECIPIENTS):
                    found += compiled.limits_of(kind, name)
        return found


class _Compiled:
    """A rate with its overrides by key."""

    __slots__ = ("_networks", "_overrides", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._overrides: dict[str, RateOverride] = {}
        self._networks: NetworkTable[RateOverride] = NetworkTable()
        for override in rate.overrides:
            if rate.per is RateScope.CLIENT:
                self._networks.add(parse_network(override.key), override)
            else:
                self._overrides[override.key] = override

    def limits(self, kind: str, sender: Sender) -> list[Limit]:
        """Give the limits of a sender's key; none where it has none."""
        key = self._key(sender)
        return self.limits_of(kind, key) if key else []

    def limits_of(self, kind: str, key: str) -> list[Limit]:
        """Give the limits of a key, as its override has them or all others."""
        override = self._override(key)
        own = None if override is None else (override.messages if kind == MESSAGES else override.recipients)
        of_all = self.rate.messages if kind == MESSAGES else self.rate.recipients
        amounts = of_all if own is None else own
        full = f"{self.rate.per.value}:{key}"
        return [Limit(self.rate.name, kind, full, seconds, most) for seconds, most in windows_of(amounts)]

    def _key(self, sender: Sender) -> str:
        match self.rate.per:
            case RateScope.LOGIN:
                return login_key(sender.login)
            case RateScope.SENDER_DOMAIN:
                return sender.reverse_path.rpartition("@")[2]
            case RateScope.CLIENT:
                key = client_key(sender.address)
                return "" if sender.is_local and self._override(key) is None else key

    def _override(self, key: str) -> RateOverride | None:
        if self.rate.per is not RateScope.CLIENT:
            return self._overrides.get(key)
        address = parsed_address(key.partition("/")[0])
        held = () if address is None else self._networks.holding(address)
        return next(iter(sorted(held, key=_prefix, reverse=True)), None)


def windows_of(amounts: Amounts) -> Iterator[tuple[int, int]]:
    """Give seconds and number of each window that has a limit."""
    for seconds, most in zip(WINDOWS, (amounts.minute, amounts.hour, amounts.day), strict=True):
        if most is not None:
            yield seconds, most


def client_key(address: str) -> str:
    """Name who is counted together: an IPv4 address, of IPv6 the first 64 bits; "" for a text that is no address."""
    parsed = parsed_address(address)
    if parsed is None or isinstance(parsed, IPv4Address):
        return address if parsed is not None else ""
    return str(IPv6Network((parsed, 64), strict=False))


def login_key(login: str) -> str:
    """Give the form in which logins are compared."""
    try:
        return Address.parse(login).key
    except InvalidAddress:
        return folded(login)


def canonical_key(scope: RateScope, text: str) -> str:
    """Give an override's key as it is stored; raises ValueError that says what is accepted."""
    try:
        match scope:
            case RateScope.CLIENT:
                return str(parse_network(text))
            case RateScope.LOGIN:
                return Address.parse(text).key
            case RateScope.SENDER_DOMAIN:
                return normalise_domain(text)
    except ValueError as error:
        wanted = {"client": "an address or a network", "login": "a login", "sender-domain": "a domain"}
        raise ValueError(f"{text!r} is not {wanted[scope.value]}: {error}") from None


def usage_key(text: str) -> str:
    """Read a key as people write it (`login:Ann@example.org`, `client:192.0.2.7`); raises ValueError."""
    scope, colon, name = text.partition(":")
    scopes = [each.value for each in RateScope]
    if not colon or scope not in scopes:
        raise ValueError(f"{text!r} does not begin with {', '.join(f'{each}:' for each in scopes)}")
    if scope == RateScope.CLIENT.value:
        key = client_key(name.partition("/")[0])
        if not key:
            raise ValueError(f"{name!r} is no address")
        return f"{scope}:{key}"
    return f"{scope}:{canonical_key(RateScope(scope), name)}"


def _prefix(override: RateOverride) -> int:
    return parse_network(override.key).prefixlen


def rate_and_key(count_key: str) -> tuple[str, str]:
    """Undo `Limit.count_key`."""
    rate, _, key = count_key.partition("|")
    return rate, key
