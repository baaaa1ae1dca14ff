"""Everything outside that edge leans on, as protocols; app.py joins them with their adapters."""

from tripost_shared.bans.port import BansUnavailable, HeardBans
from tripost_shared.bus.port import Bus, NoAnswer, QuestionTooLarge
from tripost_shared.bus.telling import Telling
from tripost_shared.clock import Clock
from tripost_shared.content.port import ContentStore, ContentUnavailable, ContentWriter, aborted_on_failure
from tripost_shared.counters.port import Counters, CountersUnavailable
from tripost_shared.counters.totals import Totals
from tripost_shared.dns.port import Resolver
from tripost_shared.spool.port import EventLog, MessageTooLarge, Spool, SpoolFull, SpoolUnavailable

__all__ = [
    "BansUnavailable",
    "Bus",
    "Clock",
    "ContentStore",
    "ContentUnavailable",
    "ContentWriter",
    "Counters",
    "CountersUnavailable",
    "EventLog",
    "HeardBans",
    "MessageTooLarge",
    "NoAnswer",
    "QuestionTooLarge",
    "Resolver",
    "Spool",
    "SpoolFull",
    "SpoolUnavailable",
    "Telling",
    "Totals",
    "aborted_on_failure",
]
