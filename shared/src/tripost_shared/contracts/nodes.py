"""What admin-api asks every running instance: who are you, and how do you do?"""

from datetime import datetime
from typing import Final

import msgspec

NODES_SUBJECT: Final = "nodes.v1.status"  # every instance answers, so the asker collects for a while


TRUSTED_PROXIES: Final = "trusted proxies"  # what edge says among its details: networks, or "", with ", " between them


class ListenerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A listener that an instance of edge has to have open. `trouble` says why it is not, or takes no clients."""

    name: str
    address: str = ""
    trouble: str = ""


class NodeStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instance. `details` holds what is worth seeing, as short texts: sessions open, checks degraded, ….

    `troubles` says, in words, what somebody should look at: it makes `tripost status` fail. `node` and `listeners` are
    edge's: by which name its replica is chosen, and what it has to have open.
    """

    service: str
    instance: str
    version: str
    started_at: datetime
    ready: bool
    config_revision: int = 0
    details: dict[str, str] = msgspec.field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    node: str = ""
    listeners: tuple[ListenerState, ...] = ()
