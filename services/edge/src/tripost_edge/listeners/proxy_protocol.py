"""The PROXY protocol, versions 1 and 2: who the client behind a proxy is (HAProxy's proxy-protocol.txt)."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from tripost_edge.firewall.networks import plain_address
from tripost_shared.networks import ZONE_SIGN

_V1_MAX_OCTETS: Final = 107  # §2.1, CRLF included
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD: Final = struct.Struct("!12sBBH")
_V2_MAX_OCTETS: Final = _V2_HEAD.size + 2048  # addresses, and more TLVs than proxies send
_LOCAL, _PROXY = 0x20, 0x21  # version 2 in the high half
_UNSPEC, _TCP4, _TCP6 = 0x00, 0x11, 0x21


class MalformedHeader(ValueError):
    """The octets are no PROXY header; the message says why."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A PROXY header. `address` is "" when the proxy speaks for itself (LOCAL, §2.2) or does not know (UNKNOWN)."""

    octets: int  # length of the header
    address: str = ""
    port: int = 0
    is_of_proxy: bool = False  # LOCAL


def read_header(octets: bytes) -> Announcement | None:
    """Read the header that the octets begin with; None while it is not complete. Raises MalformedHeader."""
    if octets[:12] == _V2_SIGNATURE[: len(octets)]:
        return _read_v2(octets)
    if octets[:6] == b"PROXY "[: len(octets)]:
        return _read_v1(octets)
    raise MalformedHeader("neither version 1 nor version 2")


def _read_v1(octets: bytes) -> Announcement | None:
    end = octets.find(b"\r\n", 0, _V1_MAX_OCTETS)
    if end < 0:
        if len(octets) >= _V1_MAX_OCTETS:
            raise MalformedHeader("version 1 without end")
        return None
    try:
        words = octets[:end].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise MalformedHeader("version 1 is not ASCII") from error
    match words:
        case ["PROXY", "UNKNOWN", *_]:
            return Announcement(end + 2)
        case ["PROXY", "TCP4" | "TCP6" as family, source, destination, source_port, destination_port]:
            if ZONE_SIGN in source + destination:  # `ipaddress` takes any octets behind it; §2.1 knows no zones
                raise MalformedHeader("an address with a zone")
            kind = IPv4Address if family == "TCP4" else IPv6Address
            try:
                kind(destination)
                address = plain_address(str(kind(source)))
            except ValueError as error:
                raise MalformedHeader(f"not a {family} address") from error
            _port(destination_port)
            return Announcement(end + 2, address, _port(source_port))
    raise MalformedHeader("version 1 with other words")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise MalformedHeader("not a port")
    return int(text)


def _read_v2(octets: bytes) -> Announcement | None:
    if len(octets) < _V2_HEAD.size:
        return None
    _, command, family, length = _V2_HEAD.unpack_from(octets)
    total = _V2_HEAD.size + length
    if command not in {_LOCAL, _PROXY}:
        raise MalformedHeader("version 2 with an unknown command")
    if total > _V2_MAX_OCTETS:
        raise MalformedHeader("version 2 is too long")
    if len(octets) < total:
        return None
    body = octets[_V2_HEAD.size : total]
    if command == _LOCAL or family == _UNSPEC:
        return Announcement(total, is_of_proxy=command == _LOCAL)
    if family == _TCP4 and length >= 12:
        return Announcement(total, str(IPv4Address(body[:4])), int.from_bytes(body[8:10], "big"))
    if family == _TCP6 and length >= 36:
        return Announcement(total, plain_address(str(IPv6Address(body[:16]))), int.from_bytes(body[32:34], "big"))
    raise MalformedHeader("version 2 without a TCP address")
