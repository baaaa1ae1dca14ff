"""What requests and responses are made of: strict, so that a misspelt field is an error and not a surprise."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tripost_admin_api.access.passwords import LONGEST_OCTETS
from tripost_admin_api.api import names
from tripost_admin_api.api.wording import unknown

_TIME: Final = TypeAdapter(datetime)
_NUMBER: Final = re.compile(r"[+-]?[0-9.]+(?:e[+-]?[0-9]+)?", re.IGNORECASE)

Item = TypeVar("Item")


class Incoming(BaseModel):
    """A request's body, or the parameters of its query."""

    model_config = ConfigDict(extra="forbid", str_max_length=2000, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, given: Any) -> Any:
        """Name what would be accepted, which `forbid` does not."""
        odd = [name for name in given if name not in cls.model_fields] if isinstance(given, dict) else []
        if odd:
            raise ValueError(unknown("field", odd, cls.model_fields))
        return given


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


def _password(value: Any) -> str:
    """Take a text that can be a password at all; pydantic itself would tell of no reason."""
    password = str(_text(value))
    try:
        octets = len(password.encode())
    except UnicodeEncodeError:
        raise ValueError("a password is UTF-8 text") from None
    if octets > LONGEST_OCTETS:
        raise ValueError(f"a password has at most {LONGEST_OCTETS} octets")
    return password


def _moment(value: Any) -> datetime:
    """Read a time; a bare number is none: as seconds since 1970, which it might be, `2026` would be an hour of then."""
    try:
        read = _TIME.validate_python(value if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()) else None)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValidationError, OverflowError):
        raise ValueError("accepted is a date or a time like 2026-01-31 or 2026-01-31T12:00:00Z") from None


DomainName = Annotated[str, BeforeValidator(_text), AfterValidator(names.domain), Field(examples=["local.test"])]
MailDomain = Annotated[str, BeforeValidator(_text), AfterValidator(names.mail_domain), Field(examples=["local.test"])]
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
RelayNetwork = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.relay_network),
    Field(
        examples=["192.0.2.0/24"],
        description="/8 at the widest, with IPv6 /16; by IPv4's measure what holds IPv4, such as 64:ff9b::/96.",
    ),
]
XclientNetwork = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.xclient_network),
    Field(examples=["192.0.2.25/32"], description="As small as can be: its clients may say that they are anybody."),
]
BannedNetwork = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(names.banned),
    Field(
        examples=["192.0.2.7", "2001:db8::/64"],
        description="An address or a network, /8 at the widest, with IPv6 /16; of IPv6 a /64 at least.",
    ),
]
ExemptNetwork = Annotated[
    str, BeforeValidator(_text), AfterValidator(names.exempt_network), Field(examples=["192.0.2.0/24"])
]
ClientNetwork = Annotated[str, BeforeValidator(_text), AfterValidator(names.network), Field(examples=["192.0.2.0/24"])]
NewPassword = Annotated[SecretStr, BeforeValidator(_password)]
Moment = Annotated[datetime, BeforeValidator(_moment), Field(examples=["2026-01-31T12:00:00Z"])]
Score = Annotated[float, AfterValidator(names.score), Field(json_schema_extra={"minimum": -1000, "maximum": 1000})]
