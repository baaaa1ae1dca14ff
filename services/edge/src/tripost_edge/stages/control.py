"""Client control at each stage: the rules' word on transactions and recipients, and what rates leave room for.

Rules are asked at MAIL, for each recipient at RCPT, and once more when the content is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.rates import NOTHING, RateLimits, Taking
from tripost_shared.contracts.control import ControlAction, ControlConfig, ControlRule
from tripost_shared.control.rules import ControlRules, MailFacts
from tripost_shared.mail.failures import MailFailure
from tripost_shared.mail.header import fold
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

DENIED: Final = "Refused by the rules of this server"
NOT_NOW: Final = "Not taken now by the rules of this server, please try again later"
REFUSING: Final = frozenset({ControlAction.DENY, ControlAction.TEMPFAIL})
HOLDING: Final = frozenset({ControlAction.HOLD, ControlAction.QUARANTINE})
HELD: Final = {
    ControlAction.HOLD: "Held for the administrator by rule {}",
    ControlAction.QUARANTINE: "Quarantined by rule {}",
}


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be known of a transaction that may begin, or why it may not."""

    refusal: SmtpReply | None = None
    size_octets: int = 0  # as announced
    taking: Taking = NOTHING


@dataclass(slots=True)
class Recipients:
    """What the rules say of recipients: who is refused, and who is replaced by whom."""

    refused: dict[str, SmtpReply] = field(default_factory=dict)
    redirected: dict[str, str] = field(default_factory=dict)


class Control:
    """The rules and rates in force."""

    def __init__(self, rates: RateLimits, journal: Journal) -> None:
        self._rates = rates
        self._journal = journal
        self._rules = ControlRules()

    def take(self, config: ControlConfig) -> None:
        """Put a configuration in force, for commands that come from now on."""
        self._rules = ControlRules(config.rules)
        self._rates.replace(config.rates)
        if self.trouble:
            log.warning(self.trouble)

    @property
    def trouble(self) -> str:
        """Which rules and rates are left out, since something of theirs cannot be read; "" for none."""
        names = [f"rule {name}" for name in self._rules.unreadable]
        names += [f"rate {name}" for name in self._rates.unreadable]
        return f"left out, since it cannot be read: {', '.join(names)}" if names else ""

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a rule nor a rate."""
        return self._rules.are_none and self._rates.are_none

    async def at_mail(self, session: Session, reverse_path: str, size_octets: int) -> Opening:
        """Say whether a transaction may begin; recorded if not."""
        ruling = self._rules.rule_on(_facts(session, reverse_path, size_octets))
        rule = ruling.decided_by
        if rule is not None and rule.action in REFUSING:
            return Opening(
                self._journal.refused(
                    session, "mail", _reply_of(rule), because=_told(rule), reverse_path=reverse_path, rule=rule.name
                )
            )
        taking = await self._rates.take_message(session, reverse_path, ruling.rates)
        if taking.refusal is not None:
            refusal = self._journal.refused(
                session, "mail", taking.refusal, because=taking.because, reverse_path=reverse_path
            )
            return Opening(refusal)
        return Opening(None, size_octets, taking)

    async def opened(self, session: Session, transaction: Transaction, opening: Opening) -> None:
        """Note what the transaction has taken, and warn of limits that are near."""
        transaction.announced_octets = opening.size_octets
        await self._rates.note(session, transaction, "mail", opening.taking)

    def at_rcpt(self, session: Session, transaction: Transaction, addresses: Sequence[str]) -> Recipients:
        """Say what the rules want of these recipients; refusals are recorded."""
        said = Recipients()
        if self._rules.are_none:
            return said
        for address in addresses:
            rule = self._rules.rule_on(_facts_of(session, transaction, address)).decided_by
            if rule is None:
                continue
            if rule.action in REFUSING:
                said.refused[address] = self._journal.refused(
                    session, "rcpt", _reply_of(rule), recipient=address, because=_told(rule), rule=rule.name
                )
            elif rule.action is ControlAction.REDIRECT:
                said.redirected[address] = rule.to
        return said

    async def count_recipients(
        self, session: Session, transaction: Transaction, addresses: Sequence[str]
    ) -> dict[str, SmtpReply]:
        """Count recipients that all others agree to, in their order; gives the refusals of those beyond a limit."""
        if self._rates.are_none or not addresses:
            return {}
        refused: dict[str, SmtpReply] = {}
        for rates, alike in self._by_rates(session, transaction, addresses).items():
            refused |= await self._rates.take_recipients(session, transaction, alike, rates)
        return refused

    def at_content(self, session: Session, transaction: Transaction, size_octets: int) -> bytes:
        """Hold what rules want held, and give the header fields that they add; raises MailFailure with the rule's name.

        A message that is refused for one of its recipients is refused for all, since there is one reply.
        """
        if self._rules.are_none:
            return b""
        size_octets = max(size_octets, transaction.announced_octets)
        added: dict[tuple[str, str], None] = {}
        acting: dict[str, None] = {}
        for address, recipient in transaction.recipients.items():
            ruling = self._rules.rule_on(_facts_of(session, transaction, address, size_octets))
            rule = ruling.decided_by
            if rule is not None and rule.action in REFUSING:
                raise RuledOut(rule)
            if rule is not None and rule.action in HOLDING:
                words = HELD[rule.action].format(rule.name)
                transaction.recipients[address] = msgspec.structs.replace(recipient, held_because=words)
            added.update(dict.fromkeys(ruling.fields))
            acting.update(dict.fromkeys(_told(each) for each in (*ruling.passed, rule) if each is not None))
        transaction.ruled = "; ".join(acting)
        return b"".join(fold(name, value.split()) for name, value in added)

    def _by_rates(
        self, session: Session, transaction: Transaction, addresses: Sequence[str]
    ) -> dict[tuple[str, ...], list[str]]:
        """Sort recipients by the rates that rules name for them."""
        if self._rules.are_none:
            return {(): list(addresses)}
        sorted_by: dict[tuple[str, ...], list[str]] = {}
        for address in addresses:
            ruling = self._rules.rule_on(_facts_of(session, transaction, address))
            sorted_by.setdefault(tuple(ruling.rates), []).append(address)
        return sorted_by


class RuledOut(MailFailure):
    """A rule refuses the message, now that its content is there."""

    def __init__(self, rule: ControlRule) -> None:
        super().__init__(_reply_of(rule), because=_told(rule))
        self.rule = rule.name


def _reply_of(rule: ControlRule) -> SmtpReply:
    if rule.action is ControlAction.DENY:
        return SmtpReply(550, "5.7.1", rule.text or DENIED)
    return SmtpReply(451, "4.7.1", rule.text or NOT_NOW)


def _told(rule: ControlRule) -> str:
    return f"rule {rule.name}: {rule.action.value}"


def _facts(session: Session, reverse_path: str, size_octets: int, recipient: str | None = None) -> MailFacts:
    client = session.client
    return MailFacts(
        reverse_path,
        size_octets,
        recipient,
        login=client.login,
        address="" if client.unnamed_by_proxy else client.address,
        helo=client.helo,
        listener=client.listener,
    )


def _facts_of(session: Session, transaction: Transaction, address: str, size_octets: int | None = None) -> MailFacts:
    size = transaction.announced_octets if size_octets is None else size_octets
    return _facts(session, transaction.reverse_path, size, address)
