"""Settings of admin-api."""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tripost_shared.settings import Listen

DEFAULT_LISTEN: Final = Listen("127.0.0.1:8443")


class AdminSettings(BaseSettings):
    """Where the API is served, and by which certificate."""

    model_config = SettingsConfigDict(env_prefix="TRIPOST_ADMIN_", extra="ignore")

    listen: Listen = Field(DEFAULT_LISTEN, description="Address and port of the HTTPS API, `address:port`.")
    certificate: Path | None = Field(
        None,
        description="PEM file with the server's certificate and its chain. Empty: a self-signed one, made at first "
        "start in `$TRIPOST_HOME/tls/admin.crt`. A renewed one is loaded within a minute, if the user that admin-api "
        "runs as may read it and the key.",
    )
    key: Path | None = Field(None, description="PEM file with the certificate's private key, without a pass phrase.")
    cli_token_file: Path | None = Field(
        None,
        description="File for the command line's token (mode 0600), made at start if it is missing. "
        "Empty: `$TRIPOST_HOME/cli/token`.",
    )
    max_connections: int = Field(
        200,
        ge=10,
        description="Connections at a time, a quarter of them (at least 8) from one network (`/24`, with IPv6 `/64`). "
        "One more takes the place of one without credentials, or gets 503.",
    )
    session_hours: int = Field(12, ge=1, le=720, description="Hours for which an operator's session token is good.")
    audit_days: float = Field(
        365,
        gt=0,
        le=36_500,
        description="Age at which entries of the audit are forgotten: a year, so that a yearly review sees all of it. "
        "The newest removal of each mailbox and domain stays, since who adds one anew is told of mail that was left.",
    )
