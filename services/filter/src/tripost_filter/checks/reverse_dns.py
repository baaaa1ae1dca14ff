"""Reverse DNS of the client ("iprev", RFC 8601 §2.7.3 and §3): what is its address called, and is the name its own?"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tripost_filter.check import Stage
from tripost_filter.exemptions import address_of, parse_address
from tripost_filter.lookup_check import LookupCheck
from tripost_filter.lookups import Lookups
from tripost_filter.mail import Mail
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.host_names import FORWARD_TYPES, host_names, reverse_name
from tripost_shared.dns.port import DnsAnswer, Status

MAX_EVIDENCE_CHARACTERS: Final = 255


class ReverseDns(LookupCheck):
    """Find out the client's host name: one that its address has (PTR), and that has its address (A or AAAA).

    Stage: connection. No score and no refusal: much honest mail comes from hosts without a name. "pass" (evidence
    `name`), "fail" (no name of it leads back to it; evidence `names`), "permerror" (it has no name), "temperror" (DNS
    did not say; degraded). Our own clients are not looked up; those on loopback and in exempt networks are.
    """

    name = "reverse_dns"
    stages = frozenset({Stage.CONNECTION})

    def judge(self, mail: Mail, lookups: Lookups) -> Finding | None:
        """Examine with these answers (LookupCheck's call)."""
        address = address_of(mail.client)
        if address is None or mail.client.is_trusted:
            return None
        answer = lookups.get(reverse_name(address), "PTR")
        if answer.status is Status.FAILED:
            return self._temporary(answer)
        if answer.status is not Status.FOUND:
            return Finding(self.name, "permerror", because="the address has no name")
        names = host_names(answer.records)
        if not names:
            return Finding(self.name, "fail", because="no name of the address is a host name")
        forward = lookups.get_all([(name, FORWARD_TYPES[address.version]) for name in names])
        return self._agreement(address, names, forward)

    def _agreement(
        self, address: IPv4Address | IPv6Address, names: Sequence[str], forward: Sequence[DnsAnswer]
    ) -> Finding:
        for name, answer in zip(names, forward, strict=True):
            if any(parse_address(record) == address for record in answer.records):
                return Finding(self.name, "pass", evidence={"name": name})
        evidence = {"names": ", ".join(names)[:MAX_EVIDENCE_CHARACTERS]}
        for answer in forward:
            if answer.status is Status.FAILED:
                return self._temporary(answer, evidence)
        return Finding(self.name, "fail", because="no name of the address leads back to it", evidence=evidence)

    def _temporary(self, answer: DnsAnswer, evidence: dict[str, str] | None = None) -> Finding:
        because = answer.because or "no answer"
        return Finding(self.name, "temperror", because=because, degraded=True, evidence=evidence or {})
