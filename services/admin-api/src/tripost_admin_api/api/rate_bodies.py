"""What a rate is made of, as operators write it."""

from itertools import pairwise
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from tripost_admin_api.api.control_bodies import NAME, Comment
from tripost_admin_api.api.models import Incoming
from tripost_shared.contracts.control import RateScope
from tripost_shared.control.rates import canonical_key

MOST_OVERRIDES: Final = 1000
RESERVED: Final = "usage"  # the path of what is used up


def _name(text: str) -> str:
    if text == RESERVED:
        raise ValueError(f"{RESERVED!r} is the name of another page")
    return text


Amount = Annotated[int, Field(ge=0, le=1_000_000_000)]
RateName = Annotated[str, Field(pattern=NAME, examples=["hourly"]), AfterValidator(_name)]


class AmountsBody(Incoming):
    """How many may pass within each length of time; null: as many as come."""

    minute: Amount | None = None
    hour: Amount | None = None
    day: Amount | None = None

    @model_validator(mode="after")
    def _each_counts(self) -> "AmountsBody":
        given = [(name, getattr(self, name)) for name in ("minute", "hour", "day") if getattr(self, name) is not None]
        for (shorter, most), (longer, most_then) in pairwise(given):
            if most > most_then:
                raise ValueError(f"{shorter} is never reached: it is more than {longer}")
        return self


class OverrideBody(Incoming):
    """What one key has instead. What is null is as for all others."""

    key: str = Field(max_length=400, description="An address or network, a login, a domain, as the rate counts.")
    messages: AmountsBody | None = None
    recipients: AmountsBody | None = None


class RateBody(Incoming):
    """A rate: of messages, and apart from them of recipients."""

    name: RateName
    per: RateScope = Field(
        description="What is counted together: mail of a client (an IPv4 address, an IPv6 /64), of a login, or of a "
        "domain in reverse-paths."
    )
    messages: AmountsBody = AmountsBody()
    recipients: AmountsBody = AmountsBody()
    only_by_rule: bool = Field(False, description="It counts what a control rule names it for, not all mail.")
    enabled: bool = True
    comment: Comment = ""
    overrides: list[OverrideBody] = Field([], max_length=MOST_OVERRIDES)

    @model_validator(mode="after")
    def _consistent(self) -> "RateBody":
        seen: set[str] = set()
        for override in self.overrides:
            override.key = canonical_key(self.per, override.key)
            if override.key in seen:
                raise ValueError(f"overrides name {override.key} twice")
            seen.add(override.key)
        every = [self.messages, self.recipients]
        every += [amounts for each in self.overrides for amounts in (each.messages, each.recipients) if amounts]
        if all(amounts == AmountsBody() for amounts in every):
            raise ValueError("a rate limits something: give a number for messages or recipients")
        return self
