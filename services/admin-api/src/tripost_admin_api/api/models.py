"""What requests and responses are made of: strict, so that a misspelt field is an error and not a surprise."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tripost_admin_api.api import names

Item = TypeVar("Item")


class Incoming(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", str_max_length=2000, hide_input_in_errors=True)


class Outgoing(BaseModel):
    """A response's body."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Page(Outgoing, Generic[Item]):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[Item]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next part; null when there is no more.")


class ProblemBody(Outgoing):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    raise ValueError("must be a text")


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


DomainName = Annotated[str, BeforeValidator(_text), AfterValidator(names.domain), Field(examples=["local.test"])]
MailboxAddress = Annotated[
    str, BeforeValidator(_text), AfterValidator(names.mailbox), Field(examples=["user@local.test"])
]
AliasAddress = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.alias),
    Field(examples=["info@local.test", "*@local.test"], description="`*@domain` is the domain's catch-all."),
]
TargetAddress = Annotated[str, BeforeValidator(_text), AfterValidator(names.target)]
GrantPattern = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.grant_pattern),
    Field(examples=["news@other.example", "@other.example"], description="An address, or `@domain` for all of it."),
]
RouteDomain = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.route_domain),
    Field(examples=["example.org", ".example.org", "*"], description="A domain, `.domain` for all below it, or `*`."),
]
Host = Annotated[str, BeforeValidator(_text), AfterValidator(names.host), Field(examples=["smtp.example.org"])]
Network = Annotated[str, BeforeValidator(_text), AfterValidator(names.network), Field(examples=["192.0.2.0/24"])]
Moment = Annotated[datetime, AfterValidator(_aware)]
