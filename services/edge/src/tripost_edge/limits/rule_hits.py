"""How often each access rule has decided, since it was last told to the others."""

from typing import Final, NamedTuple

from tripost_edge import metrics
from tripost_shared.contracts.access import AccessRule

MOST_UNTOLD: Final = 10_000  # rules; there are no more while the others cannot be told


class RuleKey(NamedTuple):
    """A rule as it was made: another one of its name has hits of its own."""

    name: str
    made_at: int


def key_of(rule: AccessRule) -> RuleKey:
    """Say which rule it is."""
    return RuleKey(rule.name, rule.made_at)


class RuleHits:
    """Counts sessions by the rule that decided about them."""

    def __init__(self) -> None:
        self._untold: dict[RuleKey, int] = {}

    def count(self, rule: AccessRule) -> None:
        """Count a session."""
        metrics.access_hits.labels(rule.name, rule.action.value).inc()
        self._add(key_of(rule), 1)

    def take(self) -> dict[RuleKey, int]:
        """Give what was counted since it was last taken."""
        untold, self._untold = self._untold, {}
        return untold

    def put_back(self, counted: dict[RuleKey, int]) -> None:
        """Keep for later what could not be told."""
        for key, hits in counted.items():
            self._add(key, hits)

    def _add(self, key: RuleKey, hits: int) -> None:
        if key in self._untold or len(self._untold) < MOST_UNTOLD:
            self._untold[key] = self._untold.get(key, 0) + hits
