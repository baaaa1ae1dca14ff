"""What an access rule is made of, as operators write and read it."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import AfterValidator, Field, field_validator, model_validator

from tripost_admin_api.api import names
from tripost_admin_api.api.models import ClientNetwork, Incoming, Outgoing
from tripost_admin_api.api.places import Place
from tripost_shared.contracts.access import TARPIT_SECONDS, AccessAction, AccessRule

MOST_RULES: Final = 5000
MOST_VALUES: Final = 5000  # of one condition
LONGEST_TARPIT_SECONDS: Final = 60
REFUSING: Final = frozenset({AccessAction.DENY, AccessAction.TEMPFAIL})
_PRINTABLE: Final = re.compile(r"[ -~]*")

RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", examples=["partner"])]
HostPattern = Annotated[str, AfterValidator(names.host_pattern), Field(examples=[".example.org", "mail.example.org"])]
HeloPattern = Annotated[str, AfterValidator(names.helo_pattern), Field(examples=[".example.org", "literal"])]


class AccessRuleBody(Incoming):
    """An access rule. It matches a client that meets all of its conditions; of several values one is enough."""

    name: RuleName
    action: AccessAction
    networks: list[ClientNetwork] = Field([], max_length=MOST_VALUES)
    names: list[HostPattern] = Field(
        [],
        max_length=MOST_VALUES,
        description="Of the reverse DNS: a name, or `.example.org` for all below it. `allow` wants one that leads back "
        "to the address.",
    )
    helo: list[HeloPattern] = Field(
        [],
        max_length=MOST_VALUES,
        description="What the client says in HELO or EHLO, likewise; `literal` for any address literal.",
    )
    tls: bool | None = Field(None, description="Whether the session is encrypted; null: either.")
    listener: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$")] = Field(
        "", description="The listener's name; empty: all. Rules of all listeners come first."
    )
    enabled: bool = True
    comment: str = Field("", max_length=500)
    reply: str = Field("", max_length=200, description="`deny`, `tempfail`: the words; empty for the usual ones.")
    tarpit_seconds: float = Field(
        TARPIT_SECONDS,
        ge=0.1,
        le=LONGEST_TARPIT_SECONDS,
        allow_inf_nan=False,
        description="`tarpit`: how long every reply is held back.",
    )

    @field_validator("networks", "names", "helo")
    @classmethod
    def _each_once(cls, values: list[str]) -> list[str]:
        return list(dict.fromkeys(values))

    @field_validator("reply")
    @classmethod
    def _can_be_said(cls, reply: str) -> str:
        if not _PRINTABLE.fullmatch(reply):
            raise ValueError("accepted is a text of printable ASCII characters, since SMTP replies have no others")
        return reply.strip()

    @model_validator(mode="after")
    def _has_what_its_action_heeds(self) -> "AccessRuleBody":
        if self.reply and self.action not in REFUSING:
            raise ValueError(f"{self.action.value} has no reply: only deny and tempfail refuse")
        if self.tarpit_seconds != TARPIT_SECONDS and self.action is not AccessAction.TARPIT:
            raise ValueError(f"{self.action.value} has no tarpit_seconds: only tarpit holds replies back")
        return self

    def rule(self, made_at: int) -> AccessRule:
        """Give the rule as edge knows it."""
        members = self.model_dump(mode="json", include=set(AccessRuleBody.model_fields))
        return msgspec.convert(members | {"made_at": made_at}, AccessRule)


class AccessRuleIn(Place, AccessRuleBody):
    """A rule to add; without a place it becomes the last."""


class AccessRulesIn(Incoming):
    """All rules, in their order."""

    rules: list[AccessRuleBody] = Field(max_length=MOST_RULES)

    @field_validator("rules")
    @classmethod
    def _each_name_once(cls, rules: list[AccessRuleBody]) -> list[AccessRuleBody]:
        given: set[str] = set()
        for rule in rules:
            if rule.name in given:
                raise ValueError(f"the name {rule.name} is given twice; accepted is each name once")
            given.add(rule.name)
        return rules


class AccessRuleOut(Outgoing):
    """A rule in its place. `warnings`: why it, or a part of it, never matches.

    `hits`: how many sessions it has decided about since it was made, on all edges; null while they cannot be read.
    """

    position: int
    name: str
    action: AccessAction
    networks: list[str]
    names: list[str]
    helo: list[str]
    tls: bool | None
    listener: str
    enabled: bool
    comment: str
    reply: str
    tarpit_seconds: float
    hits: int | None
    last_hit_at: datetime | None
    warnings: list[str]


def body_of(rule: AccessRule) -> dict[str, Any]:
    """Give a rule's members as the API has them."""
    members: dict[str, Any] = msgspec.structs.asdict(rule)
    del members["made_at"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in members.items()}
