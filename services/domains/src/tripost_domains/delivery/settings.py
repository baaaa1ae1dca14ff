"""Settings of delivery, relay and the deferred queue."""

from typing import Annotated

from pydantic import Field, IPvAnyAddress, IPvAnyNetwork, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tripost_shared.networks import ZONE_SIGN


class DeliverySettings(BaseSettings):
    """Settings of domains that delivery, relay and the deferred queue read."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_DOMAINS_", extra="ignore")

    messages_at_hand: int = Field(
        500,
        ge=10,
        description="Messages taken from SPOOL and not yet settled, at most; then nothing more is taken. Those that "
        "only wait for their place in the deferred queue do not count, up to three times as many.",
    )
    octets_at_hand: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="Octets of content of those messages, at most."
    )
    mailbox_threads: int = Field(8, ge=1, le=64, description="Threads that write to mailboxes.")
    relay_connections: int = Field(100, ge=1, description="Transactions with next hops at one time, at most.")
    relay_connections_per_hop: int = Field(20, ge=1, description="Of these with one next hop, at most.")
    relay_port: int = Field(25, ge=1, le=65535, description="TCP port of hosts found by MX records.")
    relay_to_loopback: bool = Field(
        False, description="Whether hosts found by MX records may be this machine (for tests); smarthosts always may."
    )
    relay_to_private: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default_factory=list,
        description="Networks in CIDR form, comma-separated, in which hosts found by MX records and address literals "
        "may be although they are not globally reachable, such as `10.0.0.0/8`; smarthosts may be anywhere.",
    )
    relay_own_addresses: Annotated[list[IPvAnyAddress], NoDecode] = Field(
        default_factory=list,
        description="This cluster's public addresses, comma-separated: an MX list that holds one is cut off there, as "
        "at the host name (RFC 5321 §5.1).",
    )
    relay_connect_seconds: float = Field(30, gt=0, description="Time for a next hop to take the connection.")
    relay_greeting_seconds: float = Field(120, gt=0, description="Time for its greeting, EHLO, STARTTLS; each.")
    relay_command_seconds: float = Field(300, gt=0, description="Time for its reply to MAIL, RCPT, DATA; each.")
    relay_block_seconds: float = Field(180, gt=0, description="Time in which some of the content must be taken.")
    relay_final_seconds: float = Field(600, gt=0, description="Time for its reply after the end of the content.")
    relay_messages_per_connection: int = Field(100, ge=1, description="Messages sent over one connection, at most.")
    relay_idle_seconds: float = Field(
        10, ge=0, description="Time that an idle connection is kept for the next message."
    )
    relay_host_failure_seconds: float = Field(
        60, ge=0, description="Time for which a host that could not be reached is not tried by new messages."
    )
    retry_first_seconds: float = Field(300, gt=0, description="Time before the second attempt; it doubles each time.")
    retry_cap_seconds: float = Field(7200, gt=0, description="Longest time between two attempts.")
    queue_lifetime_seconds: float = Field(432_000, gt=0, description="Age at which a message is given up (5 days).")
    delay_notice_seconds: float = Field(
        14_400,
        gt=0,
        description="Age of a message at whose next attempt its sender is told of the delay, once, if it has asked for "
        "that (`NOTIFY=DELAY`).",
    )
    queue_poll_seconds: float = Field(1, gt=0, description="How often the whole deferred queue is looked at.")
    queue_concurrency: int = Field(
        50,
        ge=1,
        description="Queued messages for next hops attempted at one time, at most; mailboxes have as much room of "
        "their own.",
    )

    @field_validator("relay_own_addresses", "relay_to_private", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if ZONE_SIGN in value:
            raise ValueError(f"{value!r} names a zone ({ZONE_SIGN}), which no address in the DNS has")
        return [part.strip() for part in value.split(",") if part.strip()]
