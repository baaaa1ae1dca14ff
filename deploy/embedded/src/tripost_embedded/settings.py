"""Settings of the embedded cluster itself; those of the services go through to them."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClusterSettings(BaseSettings):
    """Settings of the embedded cluster (`make run`)."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_CLUSTER_", extra="ignore", env_ignore_empty=True)

    nats_port: int = Field(
        4222,
        ge=1024,
        le=65535,
        description="Port of the cluster's own nats-server, on 127.0.0.1. Not used when TRIPOST_NATS_URL is set.",
    )
    state_root: Path = Field(
        Path("/var/lib/tripost"),
        description="Started as root only: the folder that takes the state when TRIPOST_RUN_USER cannot reach "
        "TRIPOST_HOME, which then becomes a link to it. It must belong to root, and nobody else may write it; the same "
        "holds for all folders and links on the way to it, where the sticky bit (`/tmp`) will do.",
    )
    log_megabytes: int = Field(
        16, ge=1, le=4096, description="Size in megabytes at which a service's log file is put aside; three are kept."
    )
