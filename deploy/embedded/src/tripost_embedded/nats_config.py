"""The configuration of the cluster's own nats-server. Pure.

It listens on loopback alone. JetStream writes with an fsync for each acknowledgement: what is acknowledged is on disk.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tripost_shared.bus.permissions import Permissions

MAX_PAYLOAD_OCTETS: Final = 8 << 20  # the most that nats-server advises; inline content and chunks need more than 1 MB
ANSWER_WITHIN: Final = "3m"  # longer than any subject's deadline


def nats_config(port: int, store: Path, passwords: Mapping[str, str], permissions: Mapping[str, Permissions]) -> str:
    """Compose the file's text (JSON, which nats-server reads as well as its own form). It holds the passwords."""
    users = [
        {"user": service, "password": password, "permissions": _rights(permissions[service])}
        for service, password in passwords.items()
    ]
    config: dict[str, Any] = {
        "server_name": "tripost-embedded",
        "listen": f"127.0.0.1:{port}",
        "max_payload": MAX_PAYLOAD_OCTETS,
        "ping_interval": "5s",  # a peer that is gone counts as stale after two of these
        "ping_max": 2,
        "jetstream": {"store_dir": str(store), "sync_interval": "always"},
        "authorization": {"timeout": 5, "users": users},
    }
    return json.dumps(config, indent=1)


def _rights(permissions: Permissions) -> dict[str, Any]:
    rights: dict[str, Any] = {
        "publish": {"allow": list(permissions.publish)},
        "subscribe": {"allow": list(permissions.subscribe)},
    }
    if permissions.answers:
        rights["allow_responses"] = {"max": 1, "expires": ANSWER_WITHIN}
    return rights
