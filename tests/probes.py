"""Probes: what a hostile client says, and what must come of it, in one line each.

A probe is over once it is known what edge has answered, whether the session goes on or is closed, how many messages are
in the spool, and that the log has taken no harm.
"""

from dataclasses import dataclass
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from attacker import Attacker
from probed_edge import ProbedEdge
from tripost_shared.contracts.spool import SpooledMessage

CLOSED: Final = "closed"
USABLE: Final = "usable"  # it answers the next command, and has no reply too many
PLAIN_LOGIN: Final = b"AUTH PLAIN AHVzZXJAZGVzdC5leGFtcGxlAHNlY3JldA==\r\n"  # user@dest.example, secret


Steps = tuple[tuple[bytes, str], ...]


class After:
    """What the client has said before the octets of the probe: commands with the replies to them."""

    CONNECTING: Final[Steps] = ()  # even the greeting is not waited for
    GREETING: Final[Steps] = ((b"", "220"),)
    EHLO: Final[Steps] = (*GREETING, (b"EHLO client.example\r\n", "250"))
    HELO: Final[Steps] = (*GREETING, (b"HELO client.example\r\n", "250"))
    MAIL: Final[Steps] = (*EHLO, (b"MAIL FROM:<>\r\n", "250"))
    MAIL_UTF8: Final[Steps] = (*EHLO, (b"MAIL FROM:<> SMTPUTF8\r\n", "250"))
    RCPT: Final[Steps] = (*MAIL, (b"RCPT TO:<ann@dest.example>\r\n", "250"))
    DATA: Final[Steps] = (*RCPT, (b"DATA\r\n", "354"))
    STARTTLS: Final[Steps] = (*EHLO, (b"STARTTLS\r\n", "220"))  # the handshake is done after it
    TLS: Final[Steps] = (*STARTTLS, (b"EHLO client.example\r\n", "250"))
    LOGIN: Final[Steps] = (*TLS, (PLAIN_LOGIN, "235"))


@dataclass(frozen=True)
class Probe:
    """`says` are octets, each piece in a packet of its own; `hears` the beginnings of the replies to them."""

    says: tuple[bytes, ...]
    hears: tuple[str, ...]
    after: Steps = After.EHLO
    then: str = USABLE
    spooled: int = 0
    on: str = "mx"

    def run(self, edge: ProbedEdge) -> list[SpooledMessage]:
        """Attack; gives what was spooled, which is to be as many as `spooled` says."""
        with Attacker(edge.addresses[self.on]) as client:
            prepare(client, self.after)
            client.say(*self.says)
            for number, beginning in enumerate(self.hears):
                reply = client.reply()
                assert reply.startswith(beginning), f"reply {number} is {reply!r}, not {beginning}"
            see_what_is_left(client, self.then)
        messages = edge.spooled()
        edge.logged()
        return messages


def probe(
    name: str,
    says: bytes | tuple[bytes, ...],
    hears: str = "",
    *,
    after: Steps = After.EHLO,
    then: str = USABLE,
    spooled: int = 0,
    on: str = "mx",
) -> ParameterSet:
    """Name a probe; `hears` has the beginnings of replies with `|` between them."""
    pieces = says if isinstance(says, tuple) else (says,)
    replies = tuple(hears.split("|")) if hears else ()
    return pytest.param(Probe(pieces, replies, after, then, spooled, on), id=name)


def prepare(client: Attacker, after: Steps) -> None:
    """Bring a session to where a probe begins."""
    for command, beginning in after:
        client.say(command)
        reply = client.reply()
        assert reply.startswith(beginning), f"{command!r}: {reply!r}"
        if command == b"STARTTLS\r\n":
            client.start_tls()


def see_what_is_left(client: Attacker, then: str) -> None:
    """Fail where the session is not as it should be; HELP's reply is one that no probe hears otherwise."""
    if then == CLOSED:
        assert client.rest() == b""
    else:
        client.say(b"HELP\r\n")
        assert client.reply().startswith("214 ")
