"""What a control rule is made of, as operators write it: strict, and each action has just the members that it heeds."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, Field, field_validator, model_validator

from tripost_admin_api.api import names
from tripost_admin_api.api.models import ClientNetwork, Incoming
from tripost_admin_api.api.places import Place
from tripost_shared.contracts.control import ANYONE, NULL_PATH, ControlAction
from tripost_shared.control.patterns import canonical_pattern

MOST_VALUES: Final = 1000  # of one condition
NAME: Final = r"^[a-z0-9][a-z0-9-]{0,39}$"
OF_ACTIONS: Final[Mapping[ControlAction, tuple[str, ...]]] = MappingProxyType(
    {
        ControlAction.REDIRECT: ("to",),
        ControlAction.ADD_HEADER: ("header_name", "header_value"),
        ControlAction.LIMIT: ("rate",),
    }
)
REFUSING: Final = frozenset({ControlAction.DENY, ControlAction.TEMPFAIL})
SETTLED_BEFORE_CONTENT: Final = frozenset({ControlAction.REDIRECT, ControlAction.LIMIT})
# What says where a message comes from, how it is built, or what was found of it, is written by its sender or by us.
NOT_TO_ADD: Final = frozenset(
    {"received", "return-path", "authentication-results", "received-spf", "delivered-to", "dkim-signature"}
    | {"domainkey-signature", "from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "in-reply-to"}
    | {"references", "mime-version"}
)
NOT_TO_BEGIN_WITH: Final = ("resent-", "content-", "arc-", "x-tripost-")
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_PRINTABLE: Final = re.compile(r"[ -~]+")


def _reverse_path(text: str) -> str:
    return NULL_PATH if text.strip() == NULL_PATH else canonical_pattern(text.strip())


def _recipient(text: str) -> str:
    if text.strip() == NULL_PATH:
        raise ValueError(f"{NULL_PATH} is no recipient; it stands among reverse_paths")
    return canonical_pattern(text.strip())


def _login(text: str) -> str:
    return ANYONE if text.strip() == ANYONE else canonical_pattern(text.strip())


def _words(text: str) -> str:
    if text and (not _PRINTABLE.fullmatch(text) or not text.strip()):
        raise ValueError("accepted is a text of printable ASCII characters, since SMTP replies have no others")
    return text.strip()


def _header_name(text: str) -> str:
    if not text:
        return text
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a header field; accepted are letters, digits and -, a letter first")
    if text.lower() in NOT_TO_ADD or text.lower().startswith(NOT_TO_BEGIN_WITH):
        raise ValueError(f"{text} is written by the sender or by Tripost itself; accepted is a name like X-Class")
    return text


def _header_value(text: str) -> str:
    if text and (not _PRINTABLE.fullmatch(text) or not text.strip()):
        raise ValueError("accepted is a text of printable ASCII characters in one line")
    return text.strip()


RuleName = Annotated[str, Field(pattern=NAME, examples=["no-bulk"])]
Comment = Annotated[str, Field(max_length=500)]


class RuleBody(Incoming):
    """A control rule. It matches mail that meets all conditions given; of several values one is enough."""

    name: RuleName
    action: ControlAction
    enabled: bool = True
    comment: Comment = ""
    reverse_paths: list[Annotated[str, AfterValidator(_reverse_path)]] = Field(
        [], max_length=MOST_VALUES, description="Addresses, `@example.org`, `.example.org` for all below it, or `<>`."
    )
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(
        [], max_length=MOST_VALUES, description="Addresses, `@example.org`, or `.example.org` for all below it."
    )
    logins: list[Annotated[str, AfterValidator(_login)]] = Field(
        [], max_length=MOST_VALUES, description="Logins, `@example.org`, `.example.org`, or `*` for whoever logged in."
    )
    networks: list[ClientNetwork] = Field([], max_length=MOST_VALUES)
    helo: list[Annotated[str, AfterValidator(names.helo_pattern)]] = Field(
        [], max_length=MOST_VALUES, description="Names, `.example.org`, or `literal` for any address literal."
    )
    size_over_octets: int | None = Field(None, ge=0, le=1 << 40, description="The message has more octets than these.")
    listeners: list[RuleName] = Field([], max_length=100, description="Names of listeners, such as `mx`.")
    text: Annotated[str, AfterValidator(_words)] = Field(
        "", max_length=200, description="The words of a refusal; empty for the usual ones."
    )
    to: str = Field("", description="`redirect`: the address that gets the mail instead.")
    header_name: Annotated[str, AfterValidator(_header_name)] = Field("", description="`add-header`: the field.")
    header_value: Annotated[str, AfterValidator(_header_value)] = Field("", max_length=900)
    rate: str = Field("", description="`limit`: the rate that counts the mail.")

    @field_validator("reverse_paths", "recipients", "logins", "networks", "helo", "listeners")
    @classmethod
    def _each_once(cls, values: list[str]) -> list[str]:
        return list(dict.fromkeys(values))

    @model_validator(mode="after")
    def _as_the_action_wants(self) -> "RuleBody":
        for action, members in OF_ACTIONS.items():
            for member in members:
                if bool(getattr(self, member)) is not (self.action is action):
                    wanted = "needs" if self.action is action else "has no"
                    raise ValueError(f"{self.action.value} {wanted} {member}")
        if self.text and self.action not in REFUSING:
            raise ValueError(f"{self.action.value} has no text: nothing is refused")
        if self.size_over_octets is not None and self.action in SETTLED_BEFORE_CONTENT:
            raise ValueError(f"{self.action.value} has no size_over_octets: it acts before the size is known")
        if self.to:
            self.to = names.target(self.to)
        return self


class RuleIn(Place, RuleBody):
    """A rule to add; without a place it becomes the last."""


class RulesIn(Incoming):
    """All rules, in their order."""

    rules: list[RuleBody] = Field(max_length=500)
