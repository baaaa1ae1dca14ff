"""Settings of the filter service."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tripost_filter.deadlines import LONGEST_CONTENT_WAIT_SECONDS
from tripost_shared.settings import Listen


class FilterSettings(BaseSettings):
    """What must be known before the filter's configuration can be read."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_FILTER_", extra="ignore")

    health_listen: Listen | None = Field(
        Listen("127.0.0.1:9102"), description="Address of /healthz, /readyz and /metrics; empty for none."
    )
    max_examined_octets: int = Field(
        52_428_800, ge=65_536, description="Of a larger message only the beginning is examined. Octets."
    )
    stored_messages_at_once: int = Field(
        4,
        ge=1,
        le=256,
        description="How many messages that do not travel inline are examined at a time; the others wait.",
    )
    content_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=LONGEST_CONTENT_WAIT_SECONDS,
        description="How long to wait for such a message's turn and its beginning. Seconds.",
    )
    greylist_memory_entries: int = Field(
        50_000, ge=1, description="How many triplets that passed lately are remembered without asking the bucket."
    )

    @field_validator("health_listen", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value
