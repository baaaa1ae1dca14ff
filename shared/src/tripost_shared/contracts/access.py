"""Access rules: which clients edge lets in, before anything is known of their mail (key "access" of the configuration).

A rule matches a client that meets all of its conditions; a condition with several values is met by any of them, one
without values by every client. The rules of all listeners come first, in their order, then those of the client's own
listener; the first that matches decides. Where none does, the client is let in.
"""

from enum import StrEnum
from typing import Final

import msgspec

ACCESS_KEY: Final = "access"
LITERAL: Final = "literal"  # as a value of `helo`: any address literal, such as `[192.0.2.7]`
TARPIT_SECONDS: Final = 5.0
HITS: Final = "access"  # the kind of total (`tripost_shared.counters.totals`) that counts sessions by rule


class AccessAction(StrEnum):
    """What becomes of a client."""

    ALLOW = "allow"  # let in, never banned, and not tested for talking too early
    DENY = "deny"  # refused by 5yz
    TEMPFAIL = "tempfail"  # refused by 4yz
    TARPIT = "tarpit"  # let in, every reply held back


class AccessRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule.

    `networks` in CIDR form. `names`: of the reverse DNS, `mail.example.org`, or `.example.org` for all below it;
    `helo` likewise, or LITERAL. `tls`: whether the session is encrypted, null for either. `listener`: its name, "" for
    all. `reply`: the words of a refusal, "" for the usual ones. `made_at`: the revision that the rule was made in,
    which tells it from an earlier one of the same name.
    """

    name: str
    action: AccessAction
    networks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    helo: tuple[str, ...] = ()
    tls: bool | None = None
    listener: str = ""
    enabled: bool = True
    comment: str = ""
    reply: str = ""
    tarpit_seconds: float = TARPIT_SECONDS
    made_at: int = 0

    @property
    def vouches(self) -> bool:
        """Whether it lets clients in by more than what anybody can bring about for himself: a HELO, TLS."""
        is_brought_about = bool(self.helo) or self.tls is not None
        return self.action is AccessAction.ALLOW and (bool(self.networks or self.names) or not is_brought_about)


def hits_key(name: str, made_at: int) -> str:
    """Give the key of a rule's hits; a rule that is made anew has none of those of its namesake."""
    return f"{name}.{made_at}"


class AccessConfig(msgspec.Struct, frozen=True):
    """All rules, those of listeners among the others; the order counts among those that a client can meet."""

    revision: int = 0
    rules: tuple[AccessRule, ...] = ()
