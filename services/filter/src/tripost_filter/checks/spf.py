"""Sender Policy Framework (RFC 7208): may this client send for this domain?"""

from typing import Final

from tripost_filter.adapters import pyspf
from tripost_filter.adapters.pyspf import SpfResult
from tripost_filter.check import Stage
from tripost_filter.evaluations import Evaluations
from tripost_filter.exemptions import address_of
from tripost_filter.lookup_check import LookupCheck
from tripost_filter.lookups import Lookups
from tripost_filter.mail import Mail
from tripost_shared.clock import Clock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import Resolver
from tripost_shared.mail.reply import SmtpReply

NOT_PERMITTED: Final = SmtpReply(550, "5.7.23", "SPF validation failed")  # RFC 7372 §3.2
SOFTFAIL_SCORE: Final = 1.0
FAIL_SCORE: Final = 4.0
PERMERROR_SCORE: Final = 0.5
MAX_EVIDENCE_CHARACTERS: Final = 255


class Spf(LookupCheck):
    """Evaluate the SPF policy of the reverse-path's domain, or of the HELO name for the null reverse-path.

    Stage: sender. "fail" refuses if the configuration says so, else it only scores. "temperror" is degraded. Clients of
    our own are not examined: their networks are not what their domain publishes. Evidence: `identity` ("mailfrom" or
    "helo"), `domain`, and where there is one `mechanism`, `problem`, `explanation` (the domain's own words).
    """

    name = "spf"
    stages = frozenset({Stage.SENDER})

    def __init__(self, resolver: Resolver, clock: Clock, receiver: str, *, refuse_fail: bool) -> None:
        super().__init__(resolver, clock)
        self._receiver = receiver
        self._refuse_with = NOT_PERMITTED if refuse_fail else None
        self._evaluations: Evaluations[SpfResult] = Evaluations(resolver)

    def judge(self, mail: Mail, lookups: Lookups) -> Finding | None:
        """Examine with these answers (LookupCheck's call)."""
        if mail.client.is_trusted or mail.reverse_path is None or address_of(mail.client) is None:
            return None
        sender = mail.sender
        if sender is not None:
            identity, local_part, domain = "mailfrom", sender.local_part, sender.domain
        else:
            identity, local_part, domain = "helo", "postmaster", mail.helo
        found = self._result(mail, local_part, domain, lookups)
        return self._finding(found, {"identity": identity, "domain": domain})

    def _result(self, mail: Mail, local_part: str, domain: str, lookups: Lookups) -> SpfResult:
        """Evaluate, unless the same was evaluated on the same answers.

        Nothing but macros reads the local part, the HELO name or the time, so without any "%" in the answers the
        client's address and the domain decide alone.
        """
        key = (mail.client.address, domain)
        found = self._evaluations.recall(key)
        if found is None:
            found = pyspf.evaluate(mail.client.address, local_part, domain, mail.helo, self._receiver, lookups)
            if not any("%" in record for answer in lookups.answers.values() for record in answer.records):
                self._evaluations.remember(key, found, lookups.answers)
        return found

    def _finding(self, found: SpfResult, evidence: dict[str, str]) -> Finding:
        for label in ("mechanism", "problem", "explanation"):
            if text := getattr(found, label):
                evidence[label] = text[:MAX_EVIDENCE_CHARACTERS]
        match found.result:
            case "fail":
                return Finding(self.name, "fail", FAIL_SCORE, refuse_with=self._refuse_with, evidence=evidence)
            case "softfail":
                return Finding(self.name, "softfail", SOFTFAIL_SCORE, evidence=evidence)
            case "permerror":
                return Finding(
                    self.name, "permerror", PERMERROR_SCORE, because=evidence.get("problem", ""), evidence=evidence
                )
            case "temperror":
                return Finding(
                    self.name, "temperror", because=evidence.get("problem", ""), degraded=True, evidence=evidence
                )
            case result:
                return Finding(self.name, result, evidence=evidence)
