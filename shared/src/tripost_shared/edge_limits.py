"""The limits of edge: one name, one default and one range for each, wherever it is set.

`TRIPOST_EDGE_<NAME>` gives the default of a process; the configuration may replace it for all listeners, or (those of
`SessionLimits`) for one. Sizes in octets, times in seconds.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import BaseModel, Field, ValidationError

log = structlog.get_logger()


class SessionLimits(BaseModel):
    """Limits of one session; a listener may have its own."""

    size_limit_octets: int = Field(64 << 20, ge=65_536, description="Largest message that is taken. Octets.")
    header_limit_octets: int = Field(256 << 10, ge=4096, description="Largest header of a message. Octets.")
    received_limit: int = Field(50, ge=10, description="A message with more Received fields is in a loop.")
    own_received_limit: int = Field(
        10, ge=2, description="So is a message with more Received fields by which this host has taken it before."
    )
    recipients_limit: int = Field(100, ge=100, le=5000, description="Recipients per message (RFC 5321 §4.5.3.1.8).")
    messages_per_session: int = Field(500, ge=1, description="Transactions before a session is asked to begin anew.")
    commands_per_session: int = Field(
        10_000,
        ge=100,
        description="Commands of one session; give more than `recipients_limit`, each of which is a command.",
    )
    command_line_octets: int = Field(
        2048,
        ge=512,
        le=12_288,
        description="Longest command line that is taken, without its CRLF (RFC 5321 §4.5.3.1.4). Octets. That of AUTH "
        "may have 12,288 (RFC 4954 §4).",
    )
    errors_per_session: int = Field(20, ge=1, description="Slips of the protocol that are taken in one session.")
    errors_before_delay: int = Field(
        5, ge=0, description="Slips of the protocol after which the reply to each further one is held back."
    )
    error_delay_seconds: float = Field(1.0, ge=0, le=30, description="How long such a reply is held back; 0 for not.")
    unknown_recipients_per_session: int = Field(
        50, ge=1, description="Recipients that do not exist (5.1.1) that are refused in one session; then it ends."
    )
    refusals_per_session: int = Field(
        100,
        ge=1,
        description="Commands refused by 5yz for other reasons, without an accepted message between them, that are "
        "taken in one session; ten that were refused by 4yz count as one.",
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
    command_timeout_seconds: float = Field(300, gt=0, description="How long to wait for a command.")
    content_timeout_seconds: float = Field(180, gt=0, description="How long to wait for more of the content.")
    content_minimum_rate: float = Field(200, ge=0, description="Slowest content that is taken. Octets per second.")
    content_rate_grace_seconds: float = Field(30, gt=0, description="Time before the rate of a content is looked at.")
    session_seconds: float = Field(3600, gt=0, description="Longest session.")
    tls_handshake_seconds: float = Field(30, gt=0, description="How long a TLS handshake may take.")
    greeting_delay_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="How long a client of an MX listener waits for its greeting, unless it has done so within a day; "
        "who talks before it is refused by 554. Not under TLS, nor for networks that may relay. 0 for no test.",
    )
    proxy_header_seconds: float = Field(5, gt=0, description="How long to wait for the PROXY header.")


class EdgeLimits(SessionLimits):
    """All limits: those of a session, and those that are over all sessions."""

    sessions_limit: int = Field(
        1000,
        ge=1,
        description="Sessions of one worker at a time, TLS handshakes included; others get 421. Those of one kind of "
        "listener (MX, submission) may be three quarters of them, so neither shuts the other out.",
    )
    sessions_of_all_edges: int = Field(
        0, ge=0, description="Sessions of all workers of all edges together at a time; others get 421. 0 for no limit."
    )
    sessions_per_network: int = Field(
        50,
        ge=0,
        description="Sessions of one client network (IPv4 address, IPv6 /64) at a time, in all workers of all edges; "
        "others get 421. Loopback, trusted proxies, and networks that may relay, are not counted; 0 for no limit.",
    )
    sessions_per_wide_network: int = Field(
        200, ge=0, description="The same of one wider network (IPv4 /24, IPv6 /48). 0 for no limit."
    )
    connections_per_minute_of_network: int = Field(
        600,
        ge=0,
        description="Connections that one client network (IPv4 address, IPv6 /64) may begin in a minute, with all "
        "edges; others get 421. Who is not counted by `sessions_per_network` is not here either; 0 for no limit.",
    )
    connections_per_minute_of_wide_network: int = Field(
        2400, ge=0, description="The same of one wider network (IPv4 /24, IPv6 /48). 0 for no limit."
    )
    shed_lag_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="A worker whose event loop lets 1 of 20 events wait so long turns new clients away by 421, until "
        "it is half of that; sessions that are open go on. Seconds; 0 for never.",
    )
    shed_memory_percent: int = Field(
        90,
        ge=0,
        le=100,
        description="The same where so much is in use of the memory that the control group (the container) grants, "
        "until it is 5 points less. 0 for never.",
    )
    worker_memory_octets: int = Field(
        0, ge=0, description="The same where one worker uses so much memory, until it is 5 % less. Octets; 0 for never."
    )
    auth_failures_per_network: int = Field(
        10,
        ge=0,
        description="Different failed authentications of one client network (IPv4 address, IPv6 /64) in all sessions "
        "of all edges, after which it is refused by 454 for a while; 0 for no limit.",
    )
    auth_failures_memory_seconds: float = Field(
        600, gt=0, description="How long the failed authentications of a network are remembered, from its first on."
    )
    refusals_told_per_network: int = Field(
        1000,
        ge=0,
        description="Refused commands (such as recipients that do not exist) of one client network that a worker "
        "records in the tracking within ten minutes; those beyond are counted in the metrics only. 0 for no limit.",
    )

    def replaced_by(self, *overrides: Mapping[str, Any]) -> "EdgeLimits":
        """Give the limits with these in their places, later ones last; what cannot be used is left out, and told."""
        values = self.model_dump(include=set(EdgeLimits.model_fields))
        for given in overrides:
            for name, value in given.items():
                if _is_usable(name, value):
                    values[name] = value
                else:
                    log.warning("limit left out: it cannot be used", limit=name, value=value)
        return EdgeLimits(**values)


def _is_usable(name: str, value: object) -> bool:
    """Tell whether there is such a limit, and the value is within its range."""
    if name not in EdgeLimits.model_fields:
        return False
    try:
        EdgeLimits.model_validate({name: value})
    except ValidationError:
        return False
    return True
