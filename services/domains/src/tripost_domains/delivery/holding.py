"""Holds mail back: into the deferred queue as HELD, where an operator releases or drops it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from tripost_domains.delivery.contents import Contents
from tripost_domains.delivery.facts import held_fact
from tripost_domains.delivery.outcome import MAILBOX
from tripost_domains.delivery.patience import until_done
from tripost_domains.delivery.plan import Plan, hop_name
from tripost_domains.delivery.waiting_room import WaitingRoom
from tripost_domains.queue.model import Deferral
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.clock import Clock
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.database.transactions import DatabaseUnavailable
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.reply import SmtpReply
from tripost_shared.spool.port import EventLog


class Waiting(NamedTuple):
    """A recipient for whom something is to be done, and the queue's name for where it leads ("": not known).

    `written_to` is the address that the sender wrote to, when an alias has led from there; else "".
    """

    recipient: Recipient
    next_hop: str
    written_to: str = ""


class Holding:
    """Puts deliveries into the queue so that nothing is attempted and nothing lost."""

    def __init__(
        self,
        queue: QueueRepository,
        contents: Contents,
        events: EventLog,
        lifetime: timedelta,
        clock: Clock,
        queueing: WaitingRoom,
    ) -> None:
        self._queue = queue
        self._contents = contents
        self._events = events
        self._lifetime = lifetime
        self._clock = clock
        self._queueing = queueing

    async def hold(self, message: SpooledMessage, waiting: Sequence[Waiting], because: SmtpReply) -> None:
        """Hold these deliveries, waiting for store and database as long as it takes; `because` is what operators read.

        Those that are in the queue already stay as they are. Their whole time is before them: a release begins it.
        """
        if not waiting:
            return
        with self._queueing.waiting():
            content = await self._contents.keep(message)
            now = self._clock.now()
            deferrals = [
                Deferral(
                    each.recipient,
                    each.next_hop,
                    0,
                    now,
                    now + self._lifetime,
                    str(because),
                    is_held=True,
                    written_to=each.written_to,
                )
                for each in waiting
            ]
            await until_done(
                lambda: self._queue.add(message, content, deferrals, now), (DatabaseUnavailable,), "hold deliveries"
            )
        for each in waiting:
            self._events.record(held_fact(message.id, each.recipient.address, str(because), now))


def waiting_of(todo: Plan) -> list[Waiting]:
    """Name all that a plan has work for."""
    return [
        *(Waiting(target.recipient, MAILBOX, target.written_to) for target, _ in todo.mailboxes),
        *(
            Waiting(target.recipient, hop_name(hop), target.written_to)
            for hop, targets in todo.relays.items()
            for target in targets
        ),
        *(Waiting(refused.recipient, refused.next_hop) for refused in todo.refused),
    ]
