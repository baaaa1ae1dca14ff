"""Settings of domains that directory, authentication and tracking read; see also delivery/settings.py."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tripost_domains.directory.authentication import MemoryLimits
from tripost_domains.directory.cache import CacheLimits
from tripost_shared.mail.address import Address, InvalidAddress, normalise_domain
from tripost_shared.settings import Listen, SettingsError

AFTER_THE_QUEUE: Final = timedelta(days=1)  # for the last attempt, its DSN, and what a crash gives once more


class DomainsSettings(BaseSettings):
    """What must be known before the directory can be read."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_DOMAINS_", extra="ignore")

    health_listen: Listen | None = Field(
        Listen("127.0.0.1:9103"), description="Address of /healthz, /readyz and /metrics; empty for none."
    )
    migrate_at_start: bool = Field(
        True, description="Bring the database schema up to date at start. Off where a job does it (`tripost-migrate`)."
    )
    postmaster: str = Field(
        "",
        description="Address that gets mail for postmaster@ and abuse@ of local domains that have no such recipient. "
        "Empty: it is kept in a mailbox `postmaster` of the domain.",
    )
    directory_entries: int = Field(
        50_000, ge=100, description="Domains, and local parts, that the directory remembers, at most."
    )
    directory_fresh_seconds: float = Field(
        60, ge=0, description="Time for which what was read from the database counts as true, unless it is changed."
    )
    directory_stale_seconds: float = Field(
        600, ge=0, description="Age up to which it is used while the database does not answer."
    )
    password_threads: int = Field(2, ge=1, le=32, description="Passwords verified at one time; 19 MiB each.")
    password_queue: int = Field(
        64, ge=1, description="Passwords that wait for their verification, at most; then clients are told to come back."
    )
    login_memory_seconds: float = Field(
        90, ge=0, le=600, description="Time for which a successful login is remembered, unless the mailbox is changed."
    )
    gssapi_keytab: Path | None = Field(
        None,
        description="Keytab with the keys of `smtp/<host name>`, for logins by Kerberos (GSSAPI); needs the extra "
        "`tripost-domains[gssapi]`. Empty: off.",
    )
    gssapi_realms: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Whose mailboxes the users of a Kerberos realm are: `REALM=domain`, comma-separated. "
        "`user@REALM` is the login `user@domain`.",
    )
    tracking_days: float = Field(
        30,
        gt=0,
        le=36_500,
        description="Age at which messages are forgotten by the tracking: a day more than "
        "TRIPOST_DOMAINS_QUEUE_LIFETIME_SECONDS at least, since what is known of a message guards it against being "
        "delivered twice.",
    )

    @field_validator("health_listen", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("gssapi_keytab", mode="before")
    @classmethod
    def _no_path_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("gssapi_realms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("gssapi_realms")
    @classmethod
    def _are_realms(cls, value: list[str]) -> list[str]:
        try:
            return ["=".join(_realm(pair)) for pair in value]
        except InvalidAddress as error:
            raise ValueError(f"accepted is REALM=domain, comma-separated: {error}") from error

    @field_validator("postmaster")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return str(Address.parse(value)) if value else value
        except InvalidAddress as error:
            raise ValueError(f"{value!r} is not a mail address: {error}") from error

    def cache_limits(self) -> CacheLimits:
        """Give how much of the directory is remembered, and for how long."""
        return CacheLimits(
            self.directory_entries,
            timedelta(seconds=self.directory_fresh_seconds),
            timedelta(seconds=max(self.directory_fresh_seconds, self.directory_stale_seconds)),
        )

    def login_limits(self) -> MemoryLimits:
        """Give how long successful logins are remembered."""
        return MemoryLimits(remember_for=timedelta(seconds=self.login_memory_seconds))

    def kerberos(self) -> tuple[Path, dict[str, str]] | None:
        """Give keytab and realms; None when Kerberos is off. Raises SettingsError when one of the two is missing."""
        if self.gssapi_keytab is None and not self.gssapi_realms:
            return None
        if self.gssapi_keytab is None or not self.gssapi_realms:
            raise SettingsError(
                "TRIPOST_DOMAINS_GSSAPI_KEYTAB and TRIPOST_DOMAINS_GSSAPI_REALMS go together; one of them is not set"
            )
        return self.gssapi_keytab, dict(map(_realm, self.gssapi_realms))

    def tracked_for(self, queue_lifetime: timedelta) -> timedelta:
        """Give how long messages are tracked; raises SettingsError if that ends before the queue is done with them."""
        needed = queue_lifetime + AFTER_THE_QUEUE
        if timedelta(days=self.tracking_days) >= needed:
            return timedelta(days=self.tracking_days)
        accepted = math.ceil(needed / timedelta(days=1) * 100) / 100
        raise SettingsError(
            f"TRIPOST_DOMAINS_TRACKING_DAYS: {self.tracking_days:.15g} is too short: messages would be forgotten while "
            f"they are queued, and after a crash be delivered twice; accepted is {accepted:.15g} or more with "
            f"TRIPOST_DOMAINS_QUEUE_LIFETIME_SECONDS at {queue_lifetime.total_seconds():.15g}"
        )


def _realm(pair: str) -> tuple[str, str]:
    """Read `REALM=domain`; raises InvalidAddress."""
    realm, _, domain = pair.partition("=")
    if not realm.strip():
        raise InvalidAddress("no realm")
    return realm.strip(), normalise_domain(domain.strip())
