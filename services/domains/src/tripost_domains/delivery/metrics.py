"""What delivery counts (Prometheus)."""

from prometheus_client import Counter, Gauge, Histogram

from tripost_domains.delivery.outcome import Result

DELIVERIES = Counter("tripost_domains_deliveries", "Attempts by their outcome", ["result", "agent"])
MESSAGE_SECONDS = Histogram(
    "tripost_domains_message_seconds",
    "From taking a message from SPOOL to having settled all its recipients",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600),
)
AT_HAND = Gauge("tripost_domains_messages_at_hand", "Messages taken from SPOOL and not yet settled")
QUEUED = Gauge("tripost_domains_queued_deliveries", "Deliveries in the deferred queue", ["state"])
OLDEST_SECONDS = Gauge("tripost_domains_queue_oldest_seconds", "Age of the oldest delivery in the deferred queue")
BOUNCES = Counter("tripost_domains_bounces", "DSNs that were spooled, by what they tell", ["notice"])

_counters = {
    (result, agent): DELIVERIES.labels(result.value, agent) for result in Result for agent in ("mailbox", "relay")
}


def count_delivery(result: Result, agent: str) -> None:
    """Count an attempt; `agent` is "mailbox" or "relay"."""
    _counters[result, agent].inc()
