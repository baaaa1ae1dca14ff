"""What edge counts, for Prometheus.

Children of labelled metrics are looked up once, since that costs as much as counting.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge

from tripost_edge.stage_times import StageSeconds
from tripost_shared.contracts.events import Fact
from tripost_shared.control.rates import NOUNS
from tripost_shared.mail.client import ListenerKind

_SESSIONS: Final = Counter("tripost_edge_sessions", "Sessions begun, by the listener's kind.", ["kind"])
_MESSAGES: Final = Counter("tripost_edge_messages", "Ends of DATA, by outcome.", ["outcome"])
_REFUSALS: Final = Counter("tripost_edge_refusals", "Refusals, by stage.", ["stage"])

_TURNED_AWAY: Final = Counter(
    "tripost_edge_sessions_turned_away", "Clients turned away, before or in a session, by the reason.", ["reason"]
)

_BANS_MADE: Final = Counter("tripost_edge_bans", "Bans that this worker has made, by what for.", ["offence"])

OFFENCES: Final = ("authentication", "protocol", "unknown_recipients", "early_talkers")
_RATE_REFUSALS: Final = Counter("tripost_edge_rate_refusals", "Refusals since a rate is reached, by kind.", ["kind"])
_LIMIT_WARNINGS: Final = Counter("tripost_edge_limit_warnings", "Rates used up by four fifths, by kind.", ["kind"])

TURNED_AWAY: Final = ("sessions", "network", "rate", "load", "early", "ban")
REFUSING: Final = ("connect", "hello", "auth", "mail", "rcpt", "data")
MEASURED: Final = ("auth", "mail", "rcpt", "data", "message", "spool")

sessions_open: Final = Gauge("tripost_edge_sessions_open", "Sessions open now.")
loop_lag: Final = Gauge("tripost_edge_loop_lag_seconds", "How long 19 of 20 events waited for the event loop at most.")
shedding: Final = Gauge("tripost_edge_shedding", "Whether new clients are turned away for overload (1) or not (0).")
bans_in_force: Final = Gauge("tripost_edge_bans_in_force", "Bans in force at the last reading, of two a minute.")
access_hits: Final = Counter(
    "tripost_edge_access_hits", "Sessions that an access rule has decided about.", ["rule", "action"]
)
octets_received: Final = Counter("tripost_edge_content_octets", "Octets of accepted content.")
sessions_begun: Final[Mapping[ListenerKind, Counter]] = MappingProxyType(
    {kind: _SESSIONS.labels(kind.value) for kind in ListenerKind}
)
messages: Final[Mapping[str, Counter]] = MappingProxyType(
    {
        outcome: _MESSAGES.labels(outcome)
        for outcome in (Fact.ACCEPTED.value, Fact.DISCARDED.value, "refused", "deferred", "abandoned")
    }
)
turned_away: Final[Mapping[str, Counter]] = MappingProxyType(
    {reason: _TURNED_AWAY.labels(reason) for reason in TURNED_AWAY}
)
bans_made: Final[Mapping[str, Counter]] = MappingProxyType(
    {offence: _BANS_MADE.labels(offence) for offence in OFFENCES}
)
refusals: Final[Mapping[str, Counter]] = MappingProxyType({stage: _REFUSALS.labels(stage) for stage in REFUSING})
rate_refusals: Final[Mapping[str, Counter]] = MappingProxyType(
    {kind: _RATE_REFUSALS.labels(noun) for kind, noun in NOUNS.items()}
)
limit_warnings: Final[Mapping[str, Counter]] = MappingProxyType(
    {kind: _LIMIT_WARNINGS.labels(noun) for kind, noun in NOUNS.items()}
)
rates_counted_alone: Final = Counter(
    "tripost_edge_rates_counted_alone", "Decisions by rates without the shared counters, which were away."
)
_SECONDS: Final = StageSeconds(MEASURED)
REGISTRY.register(_SECONDS)
seconds: Final = _SECONDS.of
