"""What access rules look at: all that is known of a client at a moment of its session."""

from dataclasses import dataclass
from enum import StrEnum


class Unknown(StrEnum):
    """A fact that a rule waits for."""

    NAME = "name"
    HELO = "helo"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class HostNames:
    """What the reverse DNS says of an address: names in lower case, without a final dot.

    `claimed` are all that the address has; `confirmed` those of them that lead back to it. `failure` says why the DNS
    did not tell all: what is missing then is not known, and no rule matches by it.
    """

    claimed: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    failure: str = ""


NO_NAMES = HostNames()


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """A client. `names`, `helo` and `tls` are None while they are not known; TLS may still begin on a plain port.

    `address` in its usual text form; "" for a client whose address nobody knows: no network and no name holds it.
    """

    address: str
    listener: str = ""
    names: HostNames | None = None
    helo: str | None = None
    tls: bool | None = None
