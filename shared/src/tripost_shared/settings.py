"""Settings from the environment: what must be known before any configuration can be read.

Names: `TRIPOST_<NAME>` for what all services share, `TRIPOST_<SERVICE>_<NAME>` for one service's own. An empty variable
counts as one that is not set, unless its description says what empty means. Everything that an administrator changes
while the cluster runs is configuration (`tripost_shared.config`), not a setting.
`docs/settings.md` is generated from these classes, so each field has a description with its unit.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tripost_shared.contracts.spool import MOST_PARTITIONS
from tripost_shared.hostname import check_host_name, machine_name
from tripost_shared.wording import in_words


class SettingsError(Exception):
    """A setting cannot be used; the message names it and says what is accepted."""


class Listen(str):
    """An address to listen on: `192.0.2.1:25` or `[2001:db8::1]:25`."""

    @property
    def host(self) -> str:
        """The address without brackets."""
        return self.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.rpartition(":")[2])

    def overlaps(self, other: "Listen") -> bool:
        """Whether clients of one would be clients of the other too: the same port, and the same or every address."""
        if self.port != other.port or (":" in self.host) is not (":" in other.host):  # [::] leaves IPv4 alone
            return False
        mine, theirs = ip_address(self.host), ip_address(other.host)
        return mine == theirs or mine.is_unspecified or theirs.is_unspecified

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Check `address:port`; raises ValueError."""
        host, _, port = text.rpartition(":")
        is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535
        if not host or not is_port:
            raise ValueError(f"{text!r} is not address:port, such as 127.0.0.1:2525 or [::1]:2525")
        in_brackets = re.fullmatch(r"\[(.*)\]", host)
        try:
            IPv4Address(host) if in_brackets is None else IPv6Address(in_brackets[1])
        except ValueError as error:
            raise ValueError(f"{host!r} is not an IPv4 or [IPv6] address") from error
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic check fields of this type."""
        from pydantic_core import core_schema  # noqa: PLC0415 (needed here only)

        return core_schema.no_info_plain_validator_function(lambda value: cls.parse(str(value)))


def _whole_number(value: object) -> object:
    """Read the number of which an environment variable has the text; another text is left to fail."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class CommonSettings(BaseSettings):
    """Settings that all services share."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path("var"), description="Folder of the embedded cluster's state, mode 0700.")
    hostname: str = Field(
        default_factory=machine_name,
        description="This host's fully qualified name, in SMTP greetings, Received fields and as authserv-id (RFC 8601 "
        "§2.5). In A-labels (`xn--…`) where it is not ASCII.",
    )
    dns_servers: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="The only resolvers that any service uses, `address:port`, comma-separated; port 53 if left out. "
        "Empty: those of /etc/resolv.conf.",
    )
    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, separated by commas.")
    nats_user: str = Field("", description="This service's NATS user; empty for none.")
    nats_password_file: Path | None = Field(None, description="File that holds the NATS user's password.")
    nats_replicas: Annotated[Literal[1, 3, 5], BeforeValidator(_whole_number)] = Field(
        1,
        description="On how many servers of a NATS cluster each stream and bucket lies; what is acknowledged is on the "
        "disks of more than half of them. The same for domains and admin-api, which make them.",
    )
    spool_partitions: int = Field(
        4,
        ge=1,
        le=MOST_PARTITIONS,
        description="Number of JetStream streams that new mail is spooled to; mail in others is delivered too.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field(
        "json", description="`json`: one object a line; `console`: for people."
    )
    run_user: str = Field(
        "nobody",
        description="User that a service started as root becomes once it has bound its ports; all state belongs to it. "
        "Other programs may run as `nobody` too, and can then read mail and secrets: for real mail make a user of "
        "its own.",
    )

    @field_validator("dns_servers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("hostname")
    @classmethod
    def _is_host_name(cls, value: str) -> str:
        return check_host_name(value)

    def nats_password(self) -> str:
        """Read the NATS password; "" when no file is set. Raises SettingsError."""
        if self.nats_password_file is None:
            return ""
        try:
            return self.nats_password_file.read_text().strip()
        except OSError as error:
            raise SettingsError(f"TRIPOST_NATS_PASSWORD_FILE: {error.strerror}: {self.nats_password_file}") from error


class DatabaseSettings(BaseSettings):
    """Settings of the services that hold database credentials (domains, admin-api)."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_", extra="ignore", env_ignore_empty=True)

    database_url: SecretStr = Field(
        SecretStr(""),
        description="`postgresql+asyncpg://user:password@host/name` or `sqlite+aiosqlite:////absolute/path`. "
        "Empty: SQLite in `$TRIPOST_HOME/tripost.sqlite`.",
    )
    database_url_file: Path | None = Field(
        None, description="File that holds the database URL, instead of TRIPOST_DATABASE_URL."
    )
    database_key_file: Path | None = Field(
        None,
        description="File with 64 hexadecimal digits: the key of what the database keeps for SCRAM and CRAM-MD5, the "
        "same for domains and admin-api. Empty: these mechanisms are off (the embedded cluster makes one). Another key "
        "makes all such secrets void, until each password is set again.",
    )

    def url(self, home: Path) -> str:
        """Give the database's URL, secrets included. Raises SettingsError."""
        if self.database_url_file is not None:
            try:
                return self.database_url_file.read_text().strip()
            except OSError as error:
                raise SettingsError(f"TRIPOST_DATABASE_URL_FILE: {error.strerror}: {self.database_url_file}") from error
        return self.database_url.get_secret_value() or f"sqlite+aiosqlite:///{(home / 'tripost.sqlite').absolute()}"


def explain(error: ValidationError) -> str:
    """Say which settings are wrong, by the names of their environment variables."""
    return "; ".join(
        f"{_variable(error.title, item['loc'])}: {in_words(item)}" for item in error.errors(include_url=False)
    )


def _variable(title: str, location: tuple[int | str, ...]) -> str:
    """Name the variable of a field: the class's own prefix, unless the field has a whole name as its alias."""
    field = str(location[0] if location else "").upper()
    prefixes = {kind.__name__: kind.model_config.get("env_prefix", "") for kind in _kinds(BaseSettings)}
    return field if field.startswith("TRIPOST_") else prefixes.get(title, "TRIPOST_") + field


def _kinds(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)
