"""Control rules, compiled: what becomes of mail, as far as it can be said at a moment of its transaction.

At MAIL no recipient is known. A rule that ends the evaluation and waits for one stops it: it may be the first that
matches. So the rules are gone through again for each recipient, and once more when the content is there. Until then its
size is what the client has announced.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tripost_shared.access.network_table import NetworkTable, parsed_address
from tripost_shared.access.patterns import spellings
from tripost_shared.contracts.control import ANYONE, ControlAction, ControlRule
from tripost_shared.control.patterns import address_spellings
from tripost_shared.networks import parse_network


@dataclass(frozen=True, slots=True)
class MailFacts:
    """What rules look at. `reverse_path` is "" for the null one, `login` "" without one.

    `recipient` None: not known yet. `address` of the client, "" where nobody knows it.
    """

    reverse_path: str
    size_octets: int = 0
    recipient: str | None = None
    login: str = ""
    address: str = ""
    helo: str = ""
    listener: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say: `decided_by` ends the evaluation, None: no rule does, or none can yet.

    `passed`: those that matched on the way and let it go on, in order.
    """

    decided_by: ControlRule | None = None
    passed: tuple[ControlRule, ...] = ()

    @property
    def rates(self) -> Iterable[str]:
        """Name the rates that count the mail beside those that count all."""
        return [rule.rate for rule in self.passed if rule.action is ControlAction.LIMIT]

    @property
    def fields(self) -> Iterable[tuple[str, str]]:
        """Give the header fields to add."""
        return [(rule.header_name, rule.header_value) for rule in self.passed if rule.header_name]


UNDECIDED: Final = Ruling()


class ControlRules:
    """The rules of a configuration; `unreadable` are the names of those that have conditions nobody can read.

    Such a rule is left out: without the condition it would match what it should not.
    """

    def __init__(self, rules: Iterable[ControlRule] = ()) -> None:
        self.unreadable: list[str] = []
        self._rules: list[_Compiled] = []
        for rule in rules:
            if not rule.enabled:
                continue
            try:
                self._rules.append(_Compiled(rule))
            except ValueError:
                self.unreadable.append(rule.name)

    @property
    def are_none(self) -> bool:
        """Whether there is nothing to decide."""
        return not self._rules

    def rule_on(self, facts: MailFacts) -> Ruling:
        """Go through the rules."""
        passed: list[ControlRule] = []
        for compiled in self._rules:
            if not compiled.matches_transaction(facts):
                continue
            rule = compiled.rule
            if compiled.recipients:
                if facts.recipient is None:
                    if rule.action.is_final:
                        break
                    continue
                if compiled.recipients.isdisjoint(address_spellings(facts.recipient)):
                    continue
            if rule.action.is_final:
                return Ruling(rule, tuple(passed))
            passed.append(rule)
        return Ruling(None, tuple(passed)) if passed else UNDECIDED


class _Compiled:
    """A rule with its conditions as sets."""

    __slots__ = ("_helo", "_listeners", "_logins", "_networks", "_over", "_reverse_paths", "recipients", "rule")

    def __init__(self, rule: ControlRule) -> None:
        self.rule = rule
        self.recipients = frozenset(rule.recipients)
        self._reverse_paths = frozenset(rule.reverse_paths)
        self._logins = frozenset(rule.logins)
        self._helo = frozenset(rule.helo)
        self._listeners = frozenset(rule.listeners)
        self._over = rule.size_over_octets
        networks = [(parse_network(text), True) for text in rule.networks]
        self._networks = NetworkTable(networks) if networks else None

    def matches_transaction(self, facts: MailFacts) -> bool:
        """Tell whether all conditions but that on the recipient are met."""
        if self._over is not None and facts.size_octets <= self._over:
            return False
        if self._listeners and facts.listener not in self._listeners:
            return False
        if self._logins and not self._is_login(facts.login):
            return False
        if self._reverse_paths and self._reverse_paths.isdisjoint(address_spellings(facts.reverse_path)):
            return False
        if self._helo and self._helo.isdisjoint(spellings(facts.helo)):
            return False
        return self._networks is None or self._is_in_networks(self._networks, facts.address)

    def _is_login(self, login: str) -> bool:
        return bool(login) and (ANYONE in self._logins or not self._logins.isdisjoint(address_spellings(login)))

    def _is_in_networks(self, networks: "NetworkTable[bool]", text: str) -> bool:
        address = parsed_address(text)
        return address is not None and any(networks.holding(address))
