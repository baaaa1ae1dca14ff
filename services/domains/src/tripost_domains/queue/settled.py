"""Who needs nothing any more of a message that may have been worked on before, as queue and tracking know it."""

from collections.abc import Collection

from tripost_domains.delivery.patience import until_done
from tripost_domains.ports import History, TrackingUnavailable
from tripost_domains.queue.repository import QueueRepository
from tripost_shared.database.transactions import DatabaseUnavailable


async def settled_recipients(
    queue: QueueRepository, history: History, message_id: str, envelope: Collection[str] = ()
) -> set[str]:
    """Name the recipients that are in the queue or settled, and those of the envelope whose targets all are.

    Rows leave the queue after their facts are in the event log, so the queue is asked first. Waits for both.
    """
    queued = await until_done(lambda: queue.recipients_of(message_id), (DatabaseUnavailable,), "read the queue")
    past = await until_done(lambda: history.past_of(message_id), (TrackingUnavailable,), "read the tracking")
    return past.settled(queued, envelope)
