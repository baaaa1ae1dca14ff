"""Access rules, compiled: which decides about a client, or what it depends on yet.

A rule that an unknown fact keeps open stops the search: it may be the first that matches. So with each fact that
becomes known the decision is asked for again; once all are, it is final.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Final

from tripost_shared.access.facts import ClientFacts, HostNames, Unknown
from tripost_shared.access.network_table import NetworkTable, parsed_address
from tripost_shared.access.patterns import spellings
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule
from tripost_shared.networks import Network, parse_network

_NOTHING: Final[frozenset[Unknown]] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that matches, or (`needs` is not empty) that matches if these facts turn out so."""

    rule: AccessRule
    needs: frozenset[Unknown] = _NOTHING

    @property
    def is_certain(self) -> bool:
        """Whether the rule matches whatever is not known yet."""
        return not self.needs


class AccessRules:
    """The rules of a configuration; `unreadable` are the names of those that have conditions nobody can read.

    Such a rule is left out: without the condition it would match what it should not.
    """

    def __init__(self, config: AccessConfig) -> None:
        self.revision = config.revision
        self.unreadable: list[str] = []
        self._scopes: dict[str, _Scope] = {}
        for place, rule in enumerate(config.rules):
            if rule.enabled:
                self._file(place, rule)

    @property
    def are_none(self) -> bool:
        """Whether there is nothing to decide."""
        return not self._scopes

    def decide(self, facts: ClientFacts) -> Candidate | None:
        """Give the rule that decides, or the first that may; None when the client is let in by none."""
        return next(self.candidates(facts), None)

    def candidates(self, facts: ClientFacts) -> Iterator[Candidate]:
        """Give all rules that may decide, in order; the first that is certain is the last."""
        for name in ("", facts.listener) if facts.listener else ("",):
            scope = self._scopes.get(name)
            if scope is None:
                continue
            for candidate in scope.candidates(facts):
                yield candidate
                if candidate.is_certain:
                    return

    def _file(self, place: int, rule: AccessRule) -> None:
        try:
            networks = [parse_network(text) for text in rule.networks]
        except ValueError:
            self.unreadable.append(rule.name)
            return
        scope = self._scopes.setdefault(rule.listener, _Scope())
        scope.add(place, rule, networks)


class _Scope:
    """The rules of all listeners, or of one.

    A rule is filed by its most telling condition, so that of thousands only the few are looked at that may match.
    """

    def __init__(self) -> None:
        self._rules: dict[int, _Compiled] = {}
        self._by_network: NetworkTable[int] = NetworkTable()
        self._by_name = _PatternTable()
        self._by_helo = _PatternTable()
        self._others: list[int] = []

    def add(self, place: int, rule: AccessRule, networks: Sequence[Network]) -> None:
        """File a rule; its place is behind those that are there."""
        self._rules[place] = _Compiled(rule)
        if networks:
            for network in dict.fromkeys(networks):
                self._by_network.add(network, place)
        elif rule.names:
            self._by_name.add(place, rule.names)
        elif rule.helo:
            self._by_helo.add(place, rule.helo)
        else:
            self._others.append(place)

    def candidates(self, facts: ClientFacts) -> Iterator[Candidate]:
        """Give those that may match, in order."""
        address = parsed_address(facts.address)
        networked = [] if address is None else sorted(set(self._by_network.holding(address)))
        claimed = None if facts.names is None else facts.names.claimed
        said = None if facts.helo is None else (facts.helo,)
        named, greeted = self._by_name.places(claimed), self._by_helo.places(said)
        lists = [places for places in (networked, named, greeted, self._others) if places]
        for place in lists[0] if len(lists) == 1 else merge(*lists):
            compiled = self._rules[place]
            needs = compiled.needs(facts)
            if needs is not None:
                yield Candidate(compiled.rule, needs)


class _PatternTable:
    """Places of rules by the patterns of one condition."""

    def __init__(self) -> None:
        self._all: list[int] = []
        self._places: dict[str, list[int]] = {}

    def add(self, place: int, patterns: Sequence[str]) -> None:
        self._all.append(place)
        for pattern in dict.fromkeys(patterns):
            self._places.setdefault(pattern, []).append(place)

    def places(self, names: Sequence[str] | None) -> list[int]:
        """Give the places of rules that one of these names may match, in order; of all while the names are unknown."""
        if names is None:
            return self._all
        if not self._all:
            return []
        found = {place for name in names for pattern in spellings(name) for place in self._places.get(pattern, ())}
        return sorted(found)


class _Compiled:
    """The conditions of a rule other than its networks, which it was found by."""

    __slots__ = ("_helo", "_names", "_wants_confirmed", "rule")

    def __init__(self, rule: AccessRule) -> None:
        self.rule = rule
        self._names = frozenset(rule.names)
        self._helo = frozenset(rule.helo)
        self._wants_confirmed = rule.action is AccessAction.ALLOW  # anyone may call his address what he likes

    def needs(self, facts: ClientFacts) -> frozenset[Unknown] | None:
        """Give what must become known; nothing when the rule matches, None when it does not whatever becomes known."""
        wanted = []
        if self.rule.tls is not None and self.rule.tls is not facts.tls:
            if facts.tls is not None:
                return None
            wanted.append(Unknown.TLS)
        if self._helo:
            if facts.helo is None:
                wanted.append(Unknown.HELO)
            elif self._helo.isdisjoint(spellings(facts.helo)):
                return None
        if self._names:
            if facts.names is None:
                wanted.append(Unknown.NAME)
            elif not self._is_named(facts.names):
                return None
        return frozenset(wanted) if wanted else _NOTHING

    def _is_named(self, names: HostNames) -> bool:
        heeded = names.confirmed if self._wants_confirmed else names.claimed
        return any(not self._names.isdisjoint(spellings(name)) for name in heeded)
