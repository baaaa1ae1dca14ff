"""Client control at each stage: the rules' word on transactions and recipients, and what rates leave room for.

Rules are asked at MAIL, for each recipient at RCPT, and once more when the content is there. Messages are counted at
MAIL, recipients at RCPT after all others have agreed; a transaction that comes to nothing gives back what it has taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from tripost_edge import metrics
from tripost_edge.firewall.networks import is_of_this_machine
from tripost_edge.ports import Clock
from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.journal import Journal
from tripost_shared.contracts.control import ControlAction, ControlConfig, ControlRule
from tripost_shared.control.rates import MESSAGES, NOUNS, RECIPIENTS, WARNED, Limit, Rates, Sender
from tripost_shared.control.rules import ControlRules, MailFacts
from tripost_shared.counters.gathered import Claim, GatheredCounts, Taken
from tripost_shared.counters.port import count_at
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
    limits: tuple[Limit, ...] = ()
    claims: tuple[Claim, ...] = ()
    near: tuple[tuple[Claim, int], ...] = ()


@dataclass(slots=True)
class Recipients:
    """What the rules say of recipients: who is refused, and who is replaced by whom."""

    refused: dict[str, SmtpReply] = field(default_factory=dict)
    redirected: dict[str, str] = field(default_factory=dict)


class Control:
    """The rules and rates in force."""

    def __init__(self, counts: GatheredCounts, journal: Journal, clock: Clock) -> None:
        self._counts = counts
        self._journal = journal
        self._clock = clock
        self._rules = ControlRules()
        self._rates = Rates()

    def take(self, config: ControlConfig) -> None:
        """Put a configuration in force, for commands that come from now on."""
        self._rules = ControlRules(config.rules)
        self._rates = Rates(config.rates)
        if self._rules.unreadable:
            log.warning("control rules left out: a condition cannot be read", rules=self._rules.unreadable)

    @property
    def trouble(self) -> str:
        """Which rules are left out, since a condition of theirs cannot be read; "" for none."""
        names = ", ".join(self._rules.unreadable)
        return f"control rules left out, which cannot be read: {names}" if names else ""

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
        limits = tuple(self._rates.limits(MESSAGES, _sender(session, reverse_path), ruling.rates))
        claims = self._claims(limits)
        taken = await self._counts.take(claims) if claims else Taken(1)
        if taken.reached is not None:
            reply, because = _reached(limits[claims.index(taken.reached)], taken)
            return Opening(self._journal.refused(session, "mail", reply, because=because, reverse_path=reverse_path))
        return Opening(None, size_octets, limits, claims, taken.near)

    async def opened(self, session: Session, transaction: Transaction, opening: Opening) -> None:
        """Note what the transaction has taken, and warn of limits that are near."""
        transaction.announced_octets = opening.size_octets
        self._note_taken(transaction, opening.claims, 1)
        transaction.counted_by.update(limit.rate for limit in opening.limits)
        await self._warn(session, "mail", opening.limits, opening)

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
            refused |= await self._count_alike(session, transaction, rates, alike)
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

    async def _count_alike(
        self, session: Session, transaction: Transaction, rates: tuple[str, ...], addresses: Sequence[str]
    ) -> dict[str, SmtpReply]:
        """Count recipients that the same rates count; with the first of a rate that a rule has named, its message."""
        sender = _sender(session, transaction.reverse_path)
        new = [rate for rate in rates if rate not in transaction.counted_by]
        messages = tuple(limit for limit in self._rates.limits(MESSAGES, sender, new) if limit.rate in new)
        reply = await self._take_message(session, transaction, messages) if messages else None
        if reply is None:
            transaction.counted_by.update(new)
            limits = tuple(self._rates.limits(RECIPIENTS, sender, rates))
            return await self._take_recipients(session, transaction, limits, addresses)
        return self._refused(session, addresses, *reply)

    async def _take_message(
        self, session: Session, transaction: Transaction, limits: tuple[Limit, ...]
    ) -> tuple[SmtpReply, str] | None:
        """Count the message by all limits, or give the refusal and what the trace says."""
        claims = self._claims(limits)
        taken = await self._counts.take(claims)
        if taken.reached is not None:
            return _reached(limits[claims.index(taken.reached)], taken)
        self._note_taken(transaction, claims, 1)
        await self._warn(session, "rcpt", limits, Opening(claims=claims, near=taken.near))
        return None

    async def _take_recipients(
        self, session: Session, transaction: Transaction, limits: tuple[Limit, ...], addresses: Sequence[str]
    ) -> dict[str, SmtpReply]:
        claims = self._claims(limits)
        if not claims:
            return {}
        taken = await self._counts.take(claims, len(addresses))
        self._note_taken(transaction, claims, taken.granted)
        await self._warn(session, "rcpt", limits, Opening(claims=claims, near=taken.near))
        if taken.reached is None:
            return {}
        return self._refused(session, addresses[taken.granted :], *_reached(limits[claims.index(taken.reached)], taken))

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

    def _claims(self, limits: Sequence[Limit]) -> tuple[Claim, ...]:
        now = self._clock.now()
        return tuple(
            Claim(count_at(now, limit.kind, limit.count_key, limit.window_seconds), limit.most) for limit in limits
        )

    def _note_taken(self, transaction: Transaction, claims: tuple[Claim, ...], amount: int) -> None:
        if claims and amount:
            transaction.give_backs.append(lambda: self._counts.give_back(claims, amount))

    async def _warn(self, session: Session, stage: str, limits: tuple[Limit, ...], opening: Opening) -> None:
        for claim, passed in opening.near:
            count = claim.count
            warned = count._replace(kind=WARNED, key=f"{count.kind}|{count.key}")
            if await self._counts.is_first(warned):
                limit = limits[opening.claims.index(claim)]
                metrics.limit_warnings[limit.kind].inc()
                self._journal.limit_warned(session, stage, _standing(limit, passed))

    def _refused(
        self, session: Session, addresses: Sequence[str], reply: SmtpReply, because: str
    ) -> dict[str, SmtpReply]:
        return {
            address: self._journal.refused(session, "rcpt", reply, recipient=address, because=because)
            for address in addresses
        }


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


def _reached(limit: Limit, taken: Taken) -> tuple[SmtpReply, str]:
    """Give the reply where a limit is reached, and what the trace says."""
    metrics.rate_refusals[limit.kind].inc()
    reply = SmtpReply(451, "4.7.1", f"Too many {NOUNS[limit.kind]}: {limit.in_words}, try again later")
    return reply, _standing(limit, taken.passed)


def _standing(limit: Limit, passed: int) -> str:
    return f"rate {limit.rate}: {passed} {NOUNS[limit.kind]} of {limit.in_words}"


def _sender(session: Session, reverse_path: str) -> Sender:
    client = session.client
    address = "" if client.unnamed_by_proxy else client.address
    is_local = bool(address) and not client.announced_by_proxy and is_of_this_machine(address)
    return Sender(address, client.login, reverse_path, is_local)


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
