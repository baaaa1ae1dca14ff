"""Settings of the edge service: addresses, limits and times. Sizes in octets, times in seconds."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tripost_edge.firewall.networks import Networks
from tripost_edge.limits.pace import Patience
from tripost_edge.listeners.context import SessionLimits
from tripost_edge.stages.reception import ContentLimits
from tripost_shared.settings import CommonSettings, Listen, SettingsError

LISTENERS = ("mx_listen", "submission_listen", "submissions_listen", "proxy_listener", "health_listen")


class EdgeSettings(BaseSettings):
    """What must be known before a client can be met."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_EDGE_", extra="ignore")

    mx_listen: Listen | None = Field(
        Listen("127.0.0.1:2525"), description="Address for mail from other servers (STARTTLS); empty for none."
    )
    submission_listen: Listen | None = Field(
        Listen("127.0.0.1:2587"), description="Address for submission (STARTTLS, then AUTH); empty for none."
    )
    submissions_listen: Listen | None = Field(
        Listen("127.0.0.1:2465"), description="Address for submission over TLS (AUTH); empty for none."
    )
    proxy_listener: Listen | None = Field(
        None,
        description="Address for mail from other servers behind a proxy that speaks the PROXY protocol (v1, v2), such "
        "as 127.0.0.1:2526; empty for none.",
    )
    proxy_trusted_networks: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: ["127.0.0.1/32"],
        description="Networks of the proxies, in CIDR form, comma-separated; others are cut off on that listener.",
    )
    health_listen: Listen | None = Field(
        Listen("127.0.0.1:9101"),
        description="Address of /healthz, /readyz and /metrics; empty for none. The n-th further worker's port is 10·n "
        "higher.",
    )
    workers: int = Field(1, ge=1, le=256, description="Number of worker processes that share the listeners.")
    certificate: Path | None = Field(
        None,
        description="File with the TLS certificate and its chain (PEM). Default: `$TRIPOST_HOME/tls/edge.crt`. A "
        "renewed one is loaded within a minute, if the user that edge runs as may read it and the key.",
    )
    key: Path | None = Field(
        None,
        description="File with the certificate's private key (PEM), without a pass phrase. Default: "
        "`$TRIPOST_HOME/tls/edge.key`.",
    )
    size_limit_octets: int = Field(64 << 20, ge=65_536, description="Largest message that is taken. Octets.")
    inline_octets: int = Field(
        128 << 10, ge=0, le=4 << 20, description="Larger messages go to the content store while they arrive. Octets."
    )
    header_limit_octets: int = Field(256 << 10, ge=4096, description="Largest header of a message. Octets.")
    received_limit: int = Field(50, ge=10, description="A message with more Received fields is in a loop.")
    recipients_limit: int = Field(100, ge=100, le=5000, description="Recipients per message (RFC 5321 §4.5.3.1.8).")
    messages_per_session: int = Field(500, ge=1, description="Transactions before a session is asked to begin anew.")
    errors_per_session: int = Field(20, ge=1, description="Slips of the protocol that are taken in one session.")
    refusals_per_session: int = Field(
        100,
        ge=1,
        description="Commands refused by 5yz (such as recipients that do not exist), without an accepted message "
        "between them, that are taken in one session; ten that were refused by 4yz count as one.",
    )
    refusals_told_per_network: int = Field(
        1000,
        ge=0,
        description="Refused commands (such as recipients that do not exist) of one client network that a worker "
        "records in the tracking within ten minutes; those beyond are counted in the metrics only. 0 for no limit.",
    )
    idle_commands_per_session: int = Field(
        100,
        ge=10,
        description="NOOP, RSET, HELO, EHLO, VRFY and HELP that are taken in one session without an accepted message "
        "between them.",
    )
    auth_failures_per_session: int = Field(3, ge=1, description="Failed authentications that end a session.")
    auth_failure_delay_seconds: float = Field(
        1.0, ge=0, description="How long the first failed authentication is held back; the n-th takes n times that."
    )
    auth_failures_per_network: int = Field(
        10,
        ge=0,
        description="Different failed authentications of one client network (IPv4 address, IPv6 /64) in all sessions "
        "of a worker, after which it is refused by 454 for a while; 0 for no limit.",
    )
    auth_failures_memory_seconds: float = Field(
        600, gt=0, description="How long the failed authentications of a network are remembered, from its first on."
    )
    sessions_limit: int = Field(
        1000,
        ge=1,
        description="Sessions of one worker at a time, TLS handshakes included; others get 421. Those of one kind of "
        "listener (MX, submission) may be three quarters of them, so neither shuts the other out.",
    )
    sessions_per_network: int = Field(
        50,
        ge=0,
        description="Sessions of one client network (IPv4 address, IPv6 /64) in one worker at a time; others get 421. "
        "Loopback, and networks that may relay, are not counted; 0 for no limit.",
    )
    command_timeout_seconds: float = Field(300, gt=0, description="How long to wait for a command.")
    content_timeout_seconds: float = Field(180, gt=0, description="How long to wait for more of the content.")
    content_minimum_rate: float = Field(200, ge=0, description="Slowest content that is taken. Octets per second.")
    content_rate_grace_seconds: float = Field(30, gt=0, description="Time before the rate of a content is looked at.")
    session_seconds: float = Field(3600, gt=0, description="Longest session.")
    tls_handshake_seconds: float = Field(30, gt=0, description="How long a TLS handshake may take.")
    proxy_header_seconds: float = Field(5, gt=0, description="How long to wait for the PROXY header.")
    connection_memory_seconds: float = Field(
        60,
        ge=0,
        description="How long a verdict on a client's address is remembered; the TTL of its DNS answers at most.",
    )
    directory_memory_seconds: float = Field(
        30,
        ge=0,
        description="How long an accepted recipient, or a login's reverse-path, is remembered; a change drops all.",
    )

    @field_validator(*LISTENERS, mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("proxy_trusted_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("proxy_trusted_networks")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        invalid = Networks(value).invalid
        if invalid:
            raise ValueError(f"{', '.join(invalid)}: not a network in CIDR form, such as 192.0.2.0/24")
        return value

    def tls_files(self, common: CommonSettings) -> tuple[Path, Path]:
        """Give the certificate's and the key's file. Raises SettingsError when one is missing."""
        certificate = self.certificate or common.home / "tls" / "edge.crt"
        key = self.key or common.home / "tls" / "edge.key"
        for path, name in ((certificate, "CERTIFICATE"), (key, "KEY")):
            if not path.is_file():
                raise SettingsError(f"TRIPOST_EDGE_{name}: there is no file {path}")
        return certificate, key

    def session_limits(self) -> SessionLimits:
        """Give what bounds one session."""
        return SessionLimits(
            patience=Patience(
                command_seconds=self.command_timeout_seconds,
                content_seconds=self.content_timeout_seconds,
                session_seconds=self.session_seconds,
                minimum_rate=self.content_minimum_rate,
                rate_grace_seconds=self.content_rate_grace_seconds,
            ),
            max_errors=self.errors_per_session,
            max_refusals=self.refusals_per_session,
            max_idle_commands=self.idle_commands_per_session,
            tls_handshake_seconds=self.tls_handshake_seconds,
            proxy_header_seconds=self.proxy_header_seconds,
        )

    def content_limits(self) -> ContentLimits:
        """Give what bounds one message."""
        return ContentLimits(
            size_octets=self.size_limit_octets,
            inline_octets=self.inline_octets,
            header_octets=self.header_limit_octets,
            received_fields=self.received_limit,
        )
