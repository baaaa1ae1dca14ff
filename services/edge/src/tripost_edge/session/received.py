"""The Received field that edge puts on top of each message (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3)."""

from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope
from tripost_shared.mail.header import fold_on

UNKNOWN: Final = "unknown"  # the word of other mail servers for a client whose address leads to no name of its own


def received_field(
    client: Client,
    envelope: Envelope,
    message_id: str,
    now: datetime,
    *,
    hostname: str,
    findings: Iterable[Finding] = (),
) -> bytes:
    """Write the field, folded, with its CRLF.

    `findings` are the filter's, of which one may tell the client's name. The recipient is named only when there is just
    one, so that no recipient learns of another.
    """
    begun = _begun(
        client.helo, client.address, client_name(findings), hostname, _protocol(client, envelope), client.tls
    )
    return f"{fold_on(begun, _of_message(envelope, message_id, now))}\r\n".encode()


def client_name(findings: Iterable[Finding]) -> str:
    """Give the client's host name as the filter's check `reverse_dns` confirmed it.

    UNKNOWN when it looked and confirmed none; "" when it did not look, as for our own clients.
    """
    for finding in findings:
        if finding.check == "reverse_dns":
            return finding.evidence.get("name", UNKNOWN) if finding.result == "pass" else UNKNOWN
    return ""


@lru_cache(maxsize=1024)
def _begun(helo: str, address: str, name: str, hostname: str, protocol: str, tls: str) -> str:
    """Write what is the same in all messages of a session, of which some have hundreds: two thirds of the time."""
    literal = address_literal(address)
    words = [
        f"from {_atom(helo)}",
        f"({_atom(name)} {literal})" if name else f"({literal})",
        f"by {hostname} (Tripost)",
        f"with {protocol}",
    ]
    return fold_on("Received:", [*words, f"({tls})"] if tls else words)


def _of_message(envelope: Envelope, message_id: str, now: datetime) -> list[str]:
    date = _date(now.replace(microsecond=0))
    if len(envelope.recipients) == 1:
        return [f"id {message_id}", f"for <{envelope.recipients[0].address}>;", date]
    return [f"id {message_id};", date]


@lru_cache(maxsize=8)
def _date(second: datetime) -> str:
    """Write a date (RFC 5322 §3.3); many messages come within one second."""
    return format_datetime(second)


def address_literal(address: str) -> str:
    """`192.0.2.1` gives `[192.0.2.1]`, `2001:db8::1` gives `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3)."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _protocol(client: Client, envelope: Envelope) -> str:
    return client.protocol.replace("ESMTP", "UTF8SMTP") if envelope.smtputf8 else client.protocol


def _atom(name: str) -> str:
    """Keep what the client calls itself, or its reverse DNS, from meaning anything in the field's syntax."""
    return "".join("?" if character in '()<>\\",; \t' else character for character in name) or UNKNOWN
