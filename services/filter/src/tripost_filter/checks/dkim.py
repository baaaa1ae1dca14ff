"""DomainKeys Identified Mail (RFC 6376): who vouches for this message?"""

from collections.abc import Mapping, Sequence

from tripost_filter.check import MustWait, Stage
from tripost_filter.dkim.evidence import to_evidence
from tripost_filter.dkim.signature import Signature
from tripost_filter.dkim.verification import MAX_SIGNATURES, Report, Result, Verifier, overall, read_signatures
from tripost_filter.lookups import Lookups, settle
from tripost_filter.mail import Mail
from tripost_shared.clock import Clock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import DnsAnswer, Resolver


class Dkim:
    """Verify the message's signatures.

    Stage: message. It neither scores nor refuses: a signature that fails is worth no less than none (RFC 6376 §6.1);
    what a domain asks for is DMARC's business. The result is "pass" if any signature passes; "temperror" is degraded.
    Evidence: each signature's result and marks, as `dkim.evidence` writes them.
    """

    name = "dkim"
    stages = frozenset({Stage.MESSAGE})

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """Verify with keys in the cache alone; raises MustWait, also for the body of a large message."""
        signatures = read_signatures(mail)
        verifier = self._verifier(mail, signatures, _keys(signatures, Lookups(self._resolver)))
        if verifier.needs_body:
            if mail.is_large:
                raise MustWait("large message")
            verifier.update(mail.body)
        return self._finding(mail, verifier.finish())

    async def examine(self, mail: Mail) -> Finding | None:
        """Verify, asking for keys that the cache does not have, and for the body chunk by chunk."""
        signatures = read_signatures(mail)
        keys = await settle(lambda lookups: _keys(signatures, lookups), self._resolver, self._clock, mail.look_up_until)
        verifier = self._verifier(mail, signatures, keys)
        if verifier.needs_body:
            async for octets in mail.body_chunks():
                verifier.update(octets)
        return self._finding(mail, verifier.finish())

    def _verifier(
        self, mail: Mail, signatures: Sequence[Signature | Report], keys: Mapping[str, DnsAnswer]
    ) -> Verifier:
        return Verifier(mail, signatures, keys, self._clock.now().timestamp())

    def _finding(self, mail: Mail, reports: Sequence[Report]) -> Finding:
        evidence = to_evidence(reports)
        ignored = len(mail.fields_of(b"dkim-signature")) - len(reports)
        if ignored > 0:
            evidence["ignored"] = f"{ignored} signatures after the first {MAX_SIGNATURES}"
        result = overall(reports)
        return Finding(self.name, result, degraded=result == Result.TEMPERROR.value, evidence=evidence)


def _keys(signatures: Sequence[Signature | Report], lookups: Lookups) -> dict[str, DnsAnswer]:
    """Look all keys up; raises one Unanswered for those that are missing."""
    names = list(dict.fromkeys(signature.key_name for signature in signatures if isinstance(signature, Signature)))
    return dict(zip(names, lookups.get_all([(name, "TXT") for name in names]), strict=True))
