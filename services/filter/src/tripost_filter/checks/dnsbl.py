"""DNS block lists (RFC 5782)."""

from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from tripost_filter.check import Stage
from tripost_filter.exemptions import Exemptions, address_of
from tripost_filter.lookup_check import LookupCheck
from tripost_filter.lookups import Lookups
from tripost_filter.mail import Mail
from tripost_shared.clock import Clock
from tripost_shared.contracts.config import DnsblZone
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import DnsAnswer, Resolver, Status
from tripost_shared.mail.reply import SmtpReply

LISTED: Final = SmtpReply(554, "5.7.1", "Client address is on a block list")
MAX_RECORDS_SHOWN: Final = 8
NEVER_LISTED: Final[Mapping[int, IPv4Address | IPv6Address]] = MappingProxyType(
    {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::ffff:127.0.0.1")}  # RFC 5782 §5
)
_NO_DATA_ANSWERS: Final = "127.255.255."  # how lists tell that they will not answer this resolver


class Dnsbl(LookupCheck):
    """Refuse clients that a DNS block list names.

    Stage: connection. One A query per zone, all at once; each listing adds its zone's score, and refuses if the zone
    says so. A zone that does not answer, or answers 127.255.255.0/24 or outside of 127.0.0.0/8, counts as "no data";
    so does one that lists what no list may: a list that was given up often lists every address, as whoever has its
    domain now answers for any name. With no listing elsewhere the finding is then degraded. Evidence: zone → answer.
    """

    name = "dnsbl"
    stages = frozenset({Stage.CONNECTION})

    def __init__(self, zones: Sequence[DnsblZone], exemptions: Exemptions, resolver: Resolver, clock: Clock) -> None:
        self._zones = zones
        self._exemptions = exemptions
        super().__init__(resolver, clock)

    def judge(self, mail: Mail, lookups: Lookups) -> Finding | None:
        """Examine with these answers (LookupCheck's call)."""
        address = address_of(mail.client)
        if not self._zones or address is None or self._exemptions.cover(mail.client):
            return None
        labels = reversed_labels(address)
        answers = lookups.get_all([(f"{labels}.{zone.zone}", "A") for zone in self._zones])
        listing = [zone.zone for zone, answer in zip(self._zones, answers, strict=True) if _listing(answer)]
        return self._finding(answers, _listing_everything(listing, NEVER_LISTED[address.version], lookups))

    def _finding(self, answers: Sequence[DnsAnswer], listing_everything: Set[str]) -> Finding:
        evidence: dict[str, str] = {}
        score, listed, refuse, silent = 0.0, False, False, False
        for zone, answer in zip(self._zones, answers, strict=True):
            if answer.status is Status.FAILED:
                silent = True
                evidence[zone.zone] = f"no data: {answer.because or 'no answer'}"
            elif zone.zone in listing_everything:
                silent = True
                evidence[zone.zone] = "no data: the zone lists every address"
            elif listing := _listing(answer):
                listed, refuse, score = True, refuse or zone.refuse, score + zone.score
                evidence[zone.zone] = listing
            elif answer.status is Status.FOUND:
                silent = True
                evidence[zone.zone] = f"no data: {', '.join(answer.records[:MAX_RECORDS_SHOWN])}"
        if listed:
            return Finding(self.name, "listed", score, refuse_with=LISTED if refuse else None, evidence=evidence)
        if silent:
            return Finding(self.name, "no data", because="a list did not answer", degraded=True, evidence=evidence)
        return Finding(self.name, "none")


def _listing_everything(zones: Sequence[str], never_listed: IPv4Address | IPv6Address, lookups: Lookups) -> Set[str]:
    """Give those of the zones that list even the address that none may list; one that does not say counts as sound."""
    labels = reversed_labels(never_listed)
    answers = lookups.get_all([(f"{labels}.{zone}", "A") for zone in zones])
    return {zone for zone, answer in zip(zones, answers, strict=True) if _listing(answer)}


def _listing(answer: DnsAnswer) -> str:
    """Give the records that say "listed", separated by commas; "" for none."""
    if answer.status is not Status.FOUND:
        return ""
    listings = [
        record for record in answer.records if record.startswith("127.") and not record.startswith(_NO_DATA_ANSWERS)
    ]
    return ", ".join(listings[:MAX_RECORDS_SHOWN])


@lru_cache(maxsize=4096)
def reversed_labels(address: IPv4Address | IPv6Address) -> str:
    """`192.0.2.7` gives `7.2.0.192`; IPv6 gives 32 nibbles, last first (RFC 5782 §2.1, §2.4)."""
    return address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
