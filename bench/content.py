"""Who writes to whom in the benchmarks, and messages of a given size."""

from typing import Final

SENDER: Final = "newsletter@sender.example"
LOCAL_DOMAIN: Final = "dest.example"
MAILBOX: Final = f"ann@{LOCAL_DOMAIN}"
RELAY_DOMAIN: Final = "next.example"
RELAYED: Final = f"bob@{RELAY_DOMAIN}"
CLIENT_NAME: Final = "out.sender.example"


def compose(size_octets: int) -> bytes:
    """Make a message of that size, or of a header alone where that is larger. Its lines end in CRLF."""
    header = (
        f"From: Newsletter <{SENDER}>\r\nTo: Ann <{MAILBOX}>\r\nSubject: What is new this week\r\n"
        "Date: Mon, 02 Jun 2025 10:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    ).encode()
    body_octets = max(size_octets - len(header), 0)
    line = b"All work and no play makes a mail server a dull thing to measure.\r\n"
    body = (line * (body_octets // len(line) + 1))[: max(body_octets - 2, 0)].rstrip()
    return header + (body.ljust(body_octets - 2, b".") + b"\r\n" if body_octets else b"")
