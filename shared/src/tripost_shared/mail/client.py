"""The client: who connects to us (RFC 5321 §2.3)."""

from enum import StrEnum

import msgspec


class ListenerKind(StrEnum):
    """What a listener is for; it decides what is expected of its clients."""

    MX = "mx"  # mail from the Internet for our recipients
    SUBMISSION = "submission"  # our users' mail, authenticated (RFC 6409)
    INTERNAL = "internal"  # our own machines


class Client(msgspec.Struct, frozen=True):
    """What is known of a client at some moment of its session.

    `address` is an IPv4 or IPv6 address in its usual text form, an IPv4-mapped one already as IPv4. `helo` is "" before
    HELO or EHLO, `login` "" without authentication, `tls` "" on plain text, else like "TLSv1.3 TLS_AES_256_GCM_SHA384".
    """

    address: str
    port: int = 0
    listener: str = ""  # the listener's name, such as "mx"
    kind: ListenerKind = ListenerKind.MX
    announced_by_proxy: bool = False  # it came through a proxy (PROXY protocol), so it is never on loopback
    helo: str = ""
    esmtp: bool = False
    tls: str = ""
    login: str = ""
    relay_permitted: bool = False  # in a network that an administrator allows to relay
    unnamed_by_proxy: bool = False  # its proxy did not say who it is: the address is the proxy's, and stands for nobody

    @property
    def is_trusted(self) -> bool:
        """Whether it is one of ours: authenticated, or in a network that may relay."""
        return bool(self.login) or self.relay_permitted

    @property
    def protocol(self) -> str:
        """The `with` keyword of the Received field (RFC 3848)."""
        if not self.esmtp:
            return "SMTP"
        return "ESMTP" + ("S" if self.tls else "") + ("A" if self.login else "")
