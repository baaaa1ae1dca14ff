"""Client control: what becomes of mail by who sends what to whom, and how much may pass (configuration key "control").

A rule matches mail that meets all of its conditions; a condition with several values is met by any of them, one without
values by all mail. The rules are gone through in order: the first that matches and ends the evaluation decides;
`add-header` and `limit` act and let the evaluation go on. Where none decides, the mail goes its way.
"""

from enum import StrEnum
from typing import Final

import msgspec

CONTROL_KEY: Final = "control"
NULL_PATH: Final = "<>"  # as a value of `reverse_paths`
ANYONE: Final = "*"  # as a value of `logins`: whoever has logged in


class ControlAction(StrEnum):
    """What becomes of the mail."""

    ALLOW = "allow"  # no later rule counts
    DENY = "deny"  # refused by 5yz
    TEMPFAIL = "tempfail"  # refused by 4yz
    HOLD = "hold"  # accepted; waits in the queue for an operator
    QUARANTINE = "quarantine"  # likewise, and called so
    REDIRECT = "redirect"  # the recipient is replaced by `to`
    ADD_HEADER = "add-header"  # a field more on top; the evaluation goes on
    LIMIT = "limit"  # counted by `rate` too; the evaluation goes on

    @property
    def is_final(self) -> bool:
        """Whether no later rule is looked at."""
        return self not in {ControlAction.ADD_HEADER, ControlAction.LIMIT}


class ControlRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule.

    `reverse_paths` and `recipients`: addresses (the key that they are compared by), `@example.org` for a domain,
    `.example.org` for all domains below it, NULL_PATH. `logins` likewise, or ANYONE. `networks` in CIDR form; `helo`
    as in access rules. `size_over_octets`: the message has more, or announces so by SIZE. `listeners` by name.
    `text`: the words of a refusal, "" for the usual ones.
    """

    name: str
    action: ControlAction
    enabled: bool = True
    comment: str = ""
    reverse_paths: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    helo: tuple[str, ...] = ()
    size_over_octets: int | None = None
    listeners: tuple[str, ...] = ()
    text: str = ""
    to: str = ""
    header_name: str = ""
    header_value: str = ""
    rate: str = ""


class RateScope(StrEnum):
    """Whose mail is counted together."""

    CLIENT = "client"  # an IPv4 address, an IPv6 /64
    LOGIN = "login"
    SENDER_DOMAIN = "sender-domain"  # of the reverse-path


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many may pass in any minute, hour and day; None: as many as come."""

    minute: int | None = None
    hour: int | None = None
    day: int | None = None


NO_LIMIT: Final = Amounts()


class RateOverride(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a single key has instead: an address or network, a login, a domain, by the rate's scope.

    None: what all others have. The narrowest network counts that holds a client.
    """

    key: str
    messages: Amounts | None = None
    recipients: Amounts | None = None


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit of messages, and apart from it one of recipients, for each client, login or sender's domain.

    `only_by_rule`: it counts what a rule names it for, otherwise all mail.
    """

    name: str
    per: RateScope
    messages: Amounts = NO_LIMIT
    recipients: Amounts = NO_LIMIT
    only_by_rule: bool = False
    enabled: bool = True
    comment: str = ""
    overrides: tuple[RateOverride, ...] = ()


class ControlConfig(msgspec.Struct, frozen=True):
    """All rules in their order, and all rates."""

    revision: int = 0
    rules: tuple[ControlRule, ...] = ()
    rates: tuple[Rate, ...] = ()
