"""What is wrong with access rules that are each in order: rules, or parts of them, that can never match."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import chain
from typing import Final

from tripost_shared.access.network_table import NetworkTable
from tripost_shared.access.patterns import covers, wider_patterns
from tripost_shared.contracts.access import AccessAction, AccessRule
from tripost_shared.networks import Network, parse_network

MOST_NAMED: Final = 3  # of what has no effect, before "…"
_EVERYWHERE: Final[tuple[Network, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class KnownListener:
    """A listener as far as rules can be at odds with it."""

    name: str
    implicit_tls: bool = False


def warnings(rules: Sequence[AccessRule], listeners: Collection[KnownListener] | None) -> Mapping[str, list[str]]:
    """Give, by the names of the rules that have some, what an operator should know.

    `listeners` are all that there are; None: not known. A rule that is not enabled has none, and hides no other.
    """
    known = None if listeners is None else {listener.name: listener for listener in listeners}
    found: dict[str, list[str]] = {}
    earlier_everywhere, earlier_of = _Earlier(), dict[str, _Earlier]()
    in_force = [rule for rule in rules if rule.enabled]
    for rule in sorted(in_force, key=lambda rule: bool(rule.listener)):  # those of all listeners come first
        groups = [earlier_everywhere]
        if rule.listener:
            groups.append(earlier_of.setdefault(rule.listener, _Earlier()))
        said = [*_of_listener(rule, known), *_of_itself(rule), *_of_trust(rule), *_hidden(rule, groups)]
        groups[-1].add(rule)
        if said:
            found[rule.name] = said
    return found


def _of_listener(rule: AccessRule, known: Mapping[str, KnownListener] | None) -> Iterator[str]:
    if known is None or not rule.listener:
        return
    listener = known.get(rule.listener)
    if listener is None:
        yield f"never matches: there is no listener {rule.listener!r}; there are {', '.join(sorted(known)) or 'none'}"
    elif listener.implicit_tls and rule.tls is False:
        yield f"never matches: all sessions of listener {rule.listener!r} are encrypted"


def _of_itself(rule: AccessRule) -> Iterator[str]:
    """Tell of values of a condition that another value of it makes needless."""
    networks = _networks(rule)
    if networks is None:
        yield "never matches: one of its networks cannot be read"
        return
    table = NetworkTable((network, network) for network in networks)
    inner = [
        f"{network} is within {wider}"
        for network in networks
        if (wider := next((found for found in table.covering(network) if found != network), None)) is not None
    ]
    inner += [
        f"{pattern} is within {wider_pattern}"
        for patterns in (rule.names, rule.helo)
        for pattern in patterns
        if (wider_pattern := _wider_of(pattern, patterns)) is not None
    ]
    if inner:
        yield f"says something twice: {_listed(inner)}"


def _of_trust(rule: AccessRule) -> Iterator[str]:
    if rule.action is AccessAction.ALLOW and not rule.vouches:
        yield "lets in whoever says so: without networks or names it spares nobody bans and the test for early talkers"


def _wider_of(pattern: str, patterns: Sequence[str]) -> str | None:
    return next((found for found in wider_patterns(pattern) if found != pattern and found in patterns), None)


def _hidden(rule: AccessRule, groups: Sequence["_Earlier"]) -> Iterator[str]:
    """Tell which earlier rules have the first match wherever this one would match, or one of its networks would."""
    networks = _networks(rule) or ()
    hidden: list[tuple[Network, tuple[str, ...]]] = []
    for network in networks or _EVERYWHERE:
        hiding = next((names for group in groups for names in group.hiding(rule, network)), None)
        if hiding is not None:
            hidden.append((network, hiding))
    if not hidden:
        return
    names = list(dict.fromkeys(chain.from_iterable(hiding for _, hiding in hidden)))
    before = f"{'rule' if len(names) == 1 else 'rules'} {_listed(names)} before it"
    if len(hidden) == len(networks or _EVERYWHERE):
        yield f"never matches: {before} {'matches' if len(names) == 1 else 'match'} all that it would"
    elif networks:
        yield f"has no effect for {_listed([str(network) for network, _ in hidden])}: {before} decides there"


def _networks(rule: AccessRule) -> tuple[Network, ...] | None:
    try:
        return tuple(parse_network(text) for text in rule.networks)
    except ValueError:
        return None


def _listed(items: Sequence[str]) -> str:
    return ", ".join([*items[:MOST_NAMED], *(["…"] if len(items) > MOST_NAMED else [])])


@dataclass(frozen=True, slots=True)
class _Group:
    """Rules of equal conditions but for their networks; the names of rules by what they hold together."""

    names: frozenset[str]
    helo: frozenset[str]
    tls: bool | None
    confirmed: bool  # its rules want names that lead back
    networks: NetworkTable[tuple[str, ...]] = field(default_factory=NetworkTable)
    holders: dict[Network, tuple[str, ...]] = field(default_factory=dict)

    def covers(self, rule: AccessRule) -> bool:
        """Tell whether each client that meets the rule's conditions, but for its networks, meets the group's."""
        if self.tls is not None and rule.tls is not self.tls:
            return False
        if self.helo and not _all_covered(self.helo, rule.helo):
            return False
        if not self.names:
            return True
        is_as_sure = rule.action is AccessAction.ALLOW or not self.confirmed
        return is_as_sure and _all_covered(self.names, rule.names)

    def add(self, network: Network, names: tuple[str, ...]) -> None:
        """Take a network in; two halves are the whole, which both rules hold together."""
        while network not in self.holders:
            self.holders[network] = names
            self.networks.add(network, names)
            if not network.prefixlen:
                return
            whole = network.supernet()
            other = next(half for half in whole.subnets() if half != network)
            if other not in self.holders:
                return
            network, names = whole, tuple(dict.fromkeys((*self.holders[other], *names)))


def _all_covered(wider: Collection[str], patterns: Sequence[str]) -> bool:
    return bool(patterns) and all(covers(wider, pattern) for pattern in patterns)


class _Earlier:
    """The rules that come before, found by a condition that a later rule shares with them."""

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._plain: list[_Group] = []  # neither names nor HELO wanted
        self._by_pattern: dict[str, list[_Group]] = {}

    def add(self, rule: AccessRule) -> None:
        """Take a rule in; one that nobody can read is in nobody's way."""
        networks = _networks(rule)
        if networks is None:
            return
        group = self._group_of(rule)
        for network in networks or _EVERYWHERE:
            group.add(network, (rule.name,))

    def hiding(self, rule: AccessRule, network: Network) -> Iterator[tuple[str, ...]]:
        """Give who matches all clients of the network that the rule would match."""
        patterns = chain.from_iterable(wider_patterns(first) for first in (*rule.names[:1], *rule.helo[:1]))
        sharing = chain.from_iterable(self._by_pattern.get(pattern, ()) for pattern in patterns)
        for group in chain(self._plain, sharing):
            if group.covers(rule):
                yield from group.networks.covering(network)

    def _group_of(self, rule: AccessRule) -> _Group:
        confirmed = bool(rule.names) and rule.action is AccessAction.ALLOW
        key = (frozenset(rule.names), frozenset(rule.helo), rule.tls, confirmed)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
            for pattern in {*rule.names, *rule.helo}:
                self._by_pattern.setdefault(pattern, []).append(group)
            if not rule.names and not rule.helo:
                self._plain.append(group)
        return group
