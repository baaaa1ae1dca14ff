"""Rates at MAIL and RCPT: what they leave room for, and a warning where that is nearly used up.

A message is counted before its transaction begins, recipients after everyone else has agreed to them. A transaction
that comes to nothing gives back what was taken for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tripost_edge import metrics
from tripost_edge.firewall.networks import is_of_this_machine
from tripost_edge.ports import Clock
from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.journal import Journal
from tripost_shared.contracts.control import Rate
from tripost_shared.control.rates import MESSAGES, NOUNS, RECIPIENTS, WARNED, Limit, Rates, Sender
from tripost_shared.counters.gathered import Claim, GatheredCounts, Taken
from tripost_shared.counters.port import count_at
from tripost_shared.mail.reply import SmtpReply

NOT_TAKEN: Final = Taken(0)


@dataclass(frozen=True, slots=True)
class Taking:
    """What was taken from limits. `refusal` and `because` (for the trace) where one of them left too little."""

    limits: tuple[Limit, ...] = ()
    claims: tuple[Claim, ...] = ()
    taken: Taken = NOT_TAKEN
    refusal: SmtpReply | None = None
    because: str = ""


NOTHING: Final = Taking()


class RateLimits:
    """The rates in force."""

    def __init__(self, counts: GatheredCounts, journal: Journal, clock: Clock) -> None:
        self._counts = counts
        self._journal = journal
        self._clock = clock
        self._rates = Rates()

    def replace(self, rates: Iterable[Rate]) -> None:
        """Put other rates in force; what is counted already stays counted."""
        self._rates = Rates(rates)

    @property
    def are_none(self) -> bool:
        """Whether nothing is counted."""
        return self._rates.are_none

    @property
    def unreadable(self) -> list[str]:
        """Name the rates that are left out, since a key of theirs cannot be read."""
        return self._rates.unreadable

    async def take_message(self, session: Session, reverse_path: str, by_rule: Iterable[str]) -> Taking:
        """Count a message of a transaction that is about to begin."""
        limits = self._rates.limits(MESSAGES, _sender(session, reverse_path), by_rule)
        return await self._take(limits, 1)

    async def note(self, session: Session, transaction: Transaction, stage: str, taking: Taking) -> None:
        """Let the transaction give it back if it comes to nothing, and warn of limits that are near."""
        if taking.taken.granted:
            transaction.give_backs.append(lambda: self._counts.give_back(taking.claims, taking.taken.granted))
            transaction.counted_by.update(limit.rate for limit in taking.limits if limit.kind == MESSAGES)
        for claim, passed in taking.taken.near:
            warned = claim.count._replace(kind=WARNED, key=f"{claim.count.kind}|{claim.count.key}")
            if await self._counts.is_first(warned):
                limit = taking.limits[taking.claims.index(claim)]
                metrics.limit_warnings[limit.kind].inc()
                self._journal.limit_warned(session, stage, _standing(limit, passed))

    async def take_recipients(
        self, session: Session, transaction: Transaction, addresses: Sequence[str], by_rule: Sequence[str]
    ) -> dict[str, SmtpReply]:
        """Count recipients in their order; gives the refusals of those beyond a limit, which are recorded.

        With the first recipient that a rule names a rate for, that rate counts the message, too.
        """
        sender = _sender(session, transaction.reverse_path)
        new = [rate for rate in by_rule if rate not in transaction.counted_by]
        if new:
            limits = [limit for limit in self._rates.limits(MESSAGES, sender, new) if limit.rate in new]
            message = await self._take(limits, 1)
            if message.refusal is not None:
                return self._refused(session, addresses, message.refusal, message.because)
            await self.note(session, transaction, "rcpt", message)
        taking = await self._take(self._rates.limits(RECIPIENTS, sender, by_rule), len(addresses))
        await self.note(session, transaction, "rcpt", taking)
        if taking.refusal is None:
            return {}
        return self._refused(session, addresses[taking.taken.granted :], taking.refusal, taking.because)

    async def _take(self, limits: Sequence[Limit], amount: int) -> Taking:
        if not limits:
            return NOTHING
        now = self._clock.now()
        claims = tuple(
            Claim(count_at(now, limit.kind, limit.count_key, limit.window_seconds, limit.group), limit.most)
            for limit in limits
        )
        taken = await self._counts.take(claims, amount)
        if taken.reached is None:
            return Taking(tuple(limits), claims, taken)
        reached = limits[claims.index(taken.reached)]
        metrics.rate_refusals[reached.kind].inc()
        reply = SmtpReply(451, "4.7.1", f"Too many {NOUNS[reached.kind]}: {reached.in_words}, try again later")
        return Taking(tuple(limits), claims, taken, reply, _standing(reached, taken.passed))

    def _refused(
        self, session: Session, addresses: Sequence[str], reply: SmtpReply, because: str
    ) -> dict[str, SmtpReply]:
        return {
            address: self._journal.refused(session, "rcpt", reply, recipient=address, because=because)
            for address in addresses
        }


def _standing(limit: Limit, passed: int) -> str:
    return f"rate {limit.rate}: {passed} {NOUNS[limit.kind]} of {limit.in_words}"


def _sender(session: Session, reverse_path: str) -> Sender:
    client = session.client
    address = "" if client.unnamed_by_proxy else client.address
    is_local = bool(address) and not client.announced_by_proxy and is_of_this_machine(address)
    return Sender(address, client.login, reverse_path, is_local)
