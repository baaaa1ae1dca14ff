"""Header fields that tell a mail reader what the score was.

`X-Spam-Status` is on every message that was scored, so that a forged one in the content is never the first;
`X-Spam-Flag: YES` is on those that are tagged. Their form is the one that mail readers and Sieve scripts know.
"""

from collections.abc import Iterable

from tripost_shared.contracts.filter import Action, Finding
from tripost_shared.mail.header import fold


def spam_fields(action: Action, score: float, tag_score: float, findings: Iterable[Finding]) -> bytes:
    """Give the fields for a message that is accepted."""
    tagged = action is Action.TAG
    counted = {finding.check for finding in findings if finding.score or finding.refuse_with is not None}
    tests = ",".join(sorted(counted)) or "none"
    status = fold(
        "X-Spam-Status",
        (f"{'Yes' if tagged else 'No'},", f"score={score:.1f}", f"required={tag_score:.1f}", f"tests={tests}"),
    )
    return b"X-Spam-Flag: YES\r\n" + status if tagged else status
