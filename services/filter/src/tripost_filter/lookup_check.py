"""What checks have in common that are one plain function of the mail and of DNS answers."""

from tripost_filter.check import Stage
from tripost_filter.lookups import Lookups, settle
from tripost_filter.mail import Mail
from tripost_shared.clock import Clock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import Resolver


class LookupCheck:
    """A QuickCheck whose subclass says in `judge` what it finds; name and stages are the subclass' too."""

    stages: frozenset[Stage]

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock

    def judge(self, mail: Mail, lookups: Lookups) -> Finding | None:
        """Examine the mail with these answers; None when the check has no business with it."""
        raise NotImplementedError

    def examine_at_once(self, mail: Mail) -> Finding | None:
        """Examine on answers in the cache alone; raises MustWait."""
        return self._judged(mail, Lookups(self._resolver))

    async def examine(self, mail: Mail) -> Finding | None:
        """Examine, asking for what the cache does not have."""

        def judged(lookups: Lookups) -> Finding | None:
            return self._judged(mail, lookups)

        return await settle(judged, self._resolver, self._clock, mail.look_up_until)

    def _judged(self, mail: Mail, lookups: Lookups) -> Finding | None:
        finding = self.judge(mail, lookups)
        if Stage.CONNECTION in self.stages:
            mail.client_good_until = min(mail.client_good_until, lookups.good_until)
        return finding
