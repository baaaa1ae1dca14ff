"""What the access rules have come to in one session."""

from dataclasses import dataclass

from tripost_shared.access.facts import HostNames
from tripost_shared.access.rules import AccessRules
from tripost_shared.contracts.access import AccessRule


@dataclass(slots=True)
class Admission:
    """`rules` are those that hold for the session: the ones in force at its begin, or at its last MAIL.

    `names` are None until a rule has asked for them. `rule` is the one that has decided, None while none has.
    """

    rules: AccessRules | None = None
    names: HostNames | None = None
    rule: AccessRule | None = None
    counted: tuple[str, int] | None = None  # the rule that was last counted as having decided here
    tarpit_seconds: float = 0.0  # by which every reply is to be held back
