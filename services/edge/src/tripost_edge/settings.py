"""Settings of the edge service: addresses, files, and the defaults of its limits (`tripost_shared.edge_limits`).

Sizes in octets, times in seconds.
"""

import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tripost_edge.firewall.networks import Networks
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.settings import CommonSettings, Listen, SettingsError

LISTENERS = ("mx_listen", "submission_listen", "submissions_listen", "proxy_listener", "health_listen")


class EdgeSettings(EdgeLimits, BaseSettings):
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
    node: str = Field(
        default_factory=socket.gethostname,
        description="This replica's name, by which a listener's `nodes` choose it. No two replicas have the same.",
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
    certificates: Path | None = Field(
        None,
        description="Folder of further certificates, each served to clients that ask for one of its names (SNI): "
        "`<any>.crt` with `<any>.key`, or both in one `<any>.pem`. Default: `$TRIPOST_HOME/tls/names`. What is added, "
        "changed or removed there counts within a minute.",
    )
    inline_octets: int = Field(
        128 << 10, ge=0, le=4 << 20, description="Larger messages go to the content store while they arrive. Octets."
    )
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
