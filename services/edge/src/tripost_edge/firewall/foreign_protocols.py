"""Clients that speak another protocol than SMTP: they are cut off at once.

A web page can make a browser send an HTTP request to a mail port, with SMTP commands in its body; after a request line
nothing more is read. A TLS handshake on a plain port can never become a session. A PROXY header (HAProxy) from somebody
who is no proxy of ours claims to be somebody else.
"""

from typing import Final

HTTP_VERBS: Final = frozenset(
    {"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI", "HOST:"}
)
_TLS_HANDSHAKE: Final = 0x16  # RFC 8446 §5.1: the record type that a ClientHello comes in
PROXY_SIGN_OCTETS: Final = 6
_PROXY_SIGNS: Final = (b"PROXY ", b"\r\n\r\n\x00\r")  # of version 1, and the beginning of version 2's signature


def is_http(verb: str) -> bool:
    """Whether a command's verb (upper case) is that of an HTTP request line."""
    return verb in HTTP_VERBS


def begins_http(first_octets: bytes) -> bool:
    """Whether the session's first octets are an HTTP request line."""
    return is_http(first_octets.split(b" ", 1)[0].decode("latin-1").upper())


def is_tls(first_octets: bytes) -> bool:
    """Whether the session's first octets are a TLS record; no SMTP command begins so."""
    return first_octets[:1] == bytes((_TLS_HANDSHAKE,))


def is_proxy_header(first_octets: bytes) -> bool:
    """Whether the session's first octets begin a PROXY header, version 1 or 2; no SMTP command begins so."""
    return first_octets[:PROXY_SIGN_OCTETS] in _PROXY_SIGNS
