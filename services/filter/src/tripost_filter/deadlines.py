"""How long the filter may take with a question: less than edge waits for a replica before it asks another one too.

A question that lasts longer would be judged twice, at the worst of times. So every stage ends in time by construction:
a check gets what is left for the question when that is less than its own budget. What the figures are chosen for is
that no check of the defaults is cut short, also after the longest wait for stored content.
"""

from typing import Any, Final

from tripost_shared.contracts.subject import Subject

SHARE_OF_PATIENCE: Final = 0.9  # the rest is for the way there and back, and for a busy event loop

# All look-ups of a stage. A little under the 2 s after which the answer must be there.
LOOK_UPS_WITHIN_SECONDS: Final = 1.8

LONGEST_CONTENT_WAIT_SECONDS: Final = 25.0  # leaves the 20 s that a check of a large message may take


def seconds_for(subject: Subject[Any, Any]) -> float:
    """Give how long a question of this subject may take."""
    return subject.try_after.total_seconds() * SHARE_OF_PATIENCE
