"""What is to be done for a message's recipients, once the directory has said where they lead; pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tripost_domains.delivery.outcome import MAILBOX, Attempted, expanded, failed
from tripost_domains.directory.model import (
    Destination,
    Expansion,
    ExpansionKind,
    HopKind,
    MailboxDestination,
    NextHop,
    RelayDestination,
    Resolution,
)
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.queue import smarthost_hop
from tripost_shared.mail.envelope import Recipient


@dataclass(frozen=True, slots=True)
class Target:
    """A recipient as it is delivered to, with the address that led to it."""

    recipient: Recipient
    source: str

    @property
    def written_to(self) -> str:
        """The address that led to it; "" when it is the recipient's."""
        return "" if self.source == self.recipient.address else self.source


@dataclass(slots=True)
class Plan:
    """The work for one message: each mailbox once, and per next hop the recipients that share its transactions."""

    mailboxes: list[tuple[Target, MailboxDestination]] = field(default_factory=list)
    relays: dict[NextHop, list[Target]] = field(default_factory=dict)
    refused: list[Attempted] = field(default_factory=list)
    expansions: list[tuple[Expansion, str]] = field(default_factory=list)  # with what was left out, in words
    expanded: list[Attempted] = field(default_factory=list)  # those of the recipients that are aliases


def plan(resolved: Iterable[tuple[Recipient, Resolution]], settled: Collection[str] = ()) -> Plan:
    """Sort the destinations by what is to be done; those in `settled` need nothing any more."""
    made = Plan()
    targets: dict[str, tuple[Target, Destination]] = {}
    for recipient, resolution in resolved:
        if recipient.address in settled:
            continue
        if recipient.redirected_to:
            made.expansions.append((_redirection(recipient), ""))
        if not resolution.destinations:
            made.refused.append(_refused(recipient, resolution))
            continue
        dead = "; ".join(f"{end.address} leads nowhere: {end.because}" for end in resolution.dead_ends)
        made.expansions.extend((expansion, dead) for expansion in resolution.expansions)
        notify = recipient.notify
        if resolution.expansions or recipient.redirected_to:
            made.expanded.append(Attempted(recipient, recipient.address, "", expanded()))
            notify = notify_beyond_alias(notify)
        for destination in resolution.destinations:
            address = destination.address if isinstance(destination, MailboxDestination) else destination.recipient
            if address not in settled:
                target = Target(Recipient(address, notify, recipient.original), recipient.address)
                former = targets.get(address)
                targets[address] = (target if former is None else _joined(former[0], target), destination)
    for target, destination in targets.values():
        _add(made, target, destination)
    return made


def notify_beyond_alias(notify: tuple[str, ...]) -> tuple[str, ...]:
    """Give what is to be told of those behind an alias: no success, which is told of the alias (RFC 3461 §5.2.7.3)."""
    if not notify:
        return ()
    return tuple(notice for notice in notify if notice != "SUCCESS") or ("NEVER",)


def _joined(one: Target, other: Target) -> Target:
    """Deliver once what two recipients lead to, and tell of it whatever was asked for either (RFC 3461 §4.1).

    It goes by the one that was named itself, if any, else by the first.
    """
    kept = other if one.written_to and not other.written_to else one
    notify = _notify_of_both(one.recipient.notify, other.recipient.notify)
    return Target(Recipient(kept.recipient.address, notify, kept.recipient.original), kept.source)


def _notify_of_both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    if one == other:
        return one
    wanted = {*(one or ("FAILURE",)), *(other or ("FAILURE",))}  # what is told of without a wish
    return tuple(notice for notice in ("SUCCESS", "FAILURE", "DELAY") if notice in wanted)


def lost(todo: Plan) -> list[Attempted]:
    """Fail all that a plan has work for, since the content is no more: no later attempt could have it."""
    outcome = failed("5.3.0", "Content of the message was lost after it was accepted; please send it again")
    targets = [(target, MAILBOX) for target, _ in todo.mailboxes]
    targets += [(target, hop_name(hop)) for hop, of_hop in todo.relays.items() for target in of_hop]
    return todo.refused + [Attempted(target.recipient, target.source, hop, outcome) for target, hop in targets]


def hop_name(hop: NextHop) -> str:
    """Name a next hop as the queue lists it: the domain, or `host:port` of a smarthost."""
    return hop.host if hop.kind is HopKind.MX else smarthost_hop(hop.host, hop.port)


def _add(made: Plan, target: Target, destination: MailboxDestination | RelayDestination) -> None:
    if isinstance(destination, MailboxDestination):
        made.mailboxes.append((target, destination))
    else:
        made.relays.setdefault(destination.next_hop, []).append(target)


def _redirection(recipient: Recipient) -> Expansion:
    return Expansion(recipient.address, ExpansionKind.REDIRECT, (recipient.redirected_to,))


def _refused(recipient: Recipient, resolution: Resolution) -> Attempted:
    """Edge took the recipient, and the directory has changed since."""
    if resolution.kind is RecipientKind.DISABLED:
        outcome = failed("5.2.1", "Mailbox takes no mail", detail=resolution.because)
    else:
        outcome = failed("5.1.1", "No such recipient here", detail=resolution.because)
    return Attempted(recipient, recipient.address, MAILBOX, outcome)
