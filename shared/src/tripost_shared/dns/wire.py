"""DNS messages as octets (RFC 1035 §4): our questions, and of an answer just what look-ups need.

dnspython takes 62 µs to read an answer, this 7 to 12, which counts with a handful of questions a message. The tests
hold the two against each other.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Final

from tripost_shared.dns.names import encoded
from tripost_shared.dns.port import DnsAnswer, Status

TYPES: Final = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
_CNAME: Final = 5
_SOA: Final = 6
_IN: Final = 1
_HEADER_OCTETS: Final = 12
_OPT: Final = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"  # EDNS(0), 1232 octets of UDP payload (RFC 6891 §6.1.2)
_RECORD: Final = struct.Struct("!HHIH")
_MOST_JUMPS: Final = 64
_MOST_CNAMES: Final = 8
_MOST_RECORDS: Final = 256  # of a section: thousands with names of 126 labels, by TCP, cost a quarter of a second

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
RCODES: Final = {FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NOTIMP: "NOTIMP", 5: "REFUSED"}


# RFC 2308 §2.2: nameservers and no SOA are no word on what there is
REFERRAL: Final = DnsAnswer(Status.FAILED, because="a referral to other servers: this one does not recurse")


class Malformed(Exception):
    """The octets are no answer."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question without its id: the part before and after are the same for all tries."""

    name: str
    record_type: str
    question: bytes  # name, type, class: an answer must repeat it

    @staticmethod
    def of(name: str, record_type: str) -> "Query":
        """Ask for a normalised name."""
        return Query(name, record_type, encoded(name) + struct.pack("!HH", TYPES[record_type], _IN))

    def octets(self, number: int, *, edns: bool = True) -> bytes:
        """Give the message for this id (RFC 1035 §4.1.1: recursion desired)."""
        header = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 1 if edns else 0)
        return header + self.question + (_OPT if edns else b"")

    def is_answered_by(self, message: bytes) -> bool:
        """Tell whether a message with the right id answers this question (RFC 5452 §4.2).

        A server that could not read the question, as for its EDNS, may answer with the header alone.
        """
        if len(message) < _HEADER_OCTETS or message[2] & 0xF8 != 0x80:  # no response to a standard query
            return False
        if message[4:6] == b"\0\0":
            return rcode_of(message) in {FORMERR, NOTIMP}
        end = _HEADER_OCTETS + len(self.question)
        return (
            len(message) >= end
            and message[4:6] == b"\0\1"
            and message[_HEADER_OCTETS:end].lower() == self.question.lower()
        )


ROOT_SERVERS: Final = Query("", "NS", b"\0" + struct.pack("!HH", TYPES["NS"], _IN))  # what every resolver knows


def rcode_of(message: bytes) -> int:
    """Give the response code."""
    return message[3] & 0x0F


def is_truncated(message: bytes) -> bool:
    """Tell whether the whole answer is to be had by TCP only."""
    return bool(message[2] & 0x02)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says. `ask_next` is the CNAME target that must be asked for, or "" (the answer holds its TTL)."""

    answer: DnsAnswer
    ask_next: str = ""


def read(query: Query, message: bytes) -> Reading:
    """Read an answer that `is_answered_by` has let pass; raises Malformed."""
    rcode = rcode_of(message)
    if rcode not in {NOERROR, NXDOMAIN}:
        return Reading(DnsAnswer(Status.FAILED, because=RCODES.get(rcode, f"RCODE {rcode}")))
    try:
        return _read(query, message, rcode)
    except (IndexError, struct.error) as error:
        raise Malformed("cut short") from error


@dataclass(frozen=True, slots=True)
class _Record:
    owner: str
    number: int
    ttl_seconds: int
    start: int
    end: int


def _read(query: Query, message: bytes, rcode: int) -> Reading:
    answers, authorities = struct.unpack_from("!HH", message, 6)
    position = _HEADER_OCTETS + len(query.question)
    records, position = _records(message, position, answers)
    asked = _name(message, _HEADER_OCTETS)[0]
    owner, ttl_seconds = _follow(asked, query.record_type, message, records)
    wanted = TYPES[query.record_type]
    found = [record for record in records if record.number == wanted and record.owner == owner]
    if found:
        ttl_seconds = min(ttl_seconds, *(record.ttl_seconds for record in found))
        texts = _texts(query.record_type, message, found)
        return Reading(DnsAnswer(Status.FOUND, texts, ttl_seconds))
    authority, _ = _records(message, position, authorities)
    negative_ttl = _negative_ttl(message, authority)
    if rcode == NXDOMAIN:
        return Reading(DnsAnswer(Status.NO_NAME, ttl_seconds=min(ttl_seconds, negative_ttl or 0)))
    if owner != asked and negative_ttl is None:
        return Reading(DnsAnswer(Status.NO_DATA, ttl_seconds=ttl_seconds), ask_next=owner)
    if negative_ttl is None and any(record.number == TYPES["NS"] for record in authority):
        return Reading(REFERRAL)
    return Reading(DnsAnswer(Status.NO_DATA, ttl_seconds=min(ttl_seconds, negative_ttl or 0)))


def _follow(owner: str, record_type: str, message: bytes, records: list[_Record]) -> tuple[str, int]:
    """Follow CNAMEs within the answer; gives the last name and the least TTL on the way."""
    ttl_seconds = 0x7FFFFFFF
    if record_type == "CNAME":
        return owner, ttl_seconds
    targets = {record.owner: record for record in records if record.number == _CNAME}
    for _ in range(_MOST_CNAMES):
        record = targets.get(owner)
        if record is None:
            return owner, ttl_seconds
        owner = _name(message, record.start)[0]
        ttl_seconds = min(ttl_seconds, record.ttl_seconds)
    raise Malformed("CNAME chain too long")


def _records(message: bytes, position: int, count: int) -> tuple[list[_Record], int]:
    """Read a section of class IN records; gives where it ends."""
    if count > _MOST_RECORDS:
        raise Malformed(f"more than {_MOST_RECORDS} records")
    records: list[_Record] = []
    for _ in range(count):
        owner, position = _name(message, position)
        number, record_class, ttl_seconds, length = _RECORD.unpack_from(message, position)
        position += _RECORD.size
        if position + length > len(message):
            raise Malformed("a record is cut short")
        if record_class == _IN:
            records.append(_Record(owner, number, _sane(ttl_seconds), position, position + length))
        position += length
    return records, position


def _negative_ttl(message: bytes, authorities: list[_Record]) -> int | None:
    """Give how long "there is none" holds (RFC 2308 §5); None without an SOA."""
    for record in authorities:
        if record.number == _SOA:
            if record.end - record.start < 22:
                raise Malformed("SOA is cut short")
            (minimum,) = struct.unpack_from("!I", message, record.end - 4)
            return min(record.ttl_seconds, _sane(minimum))
    return None


def _sane(ttl_seconds: int) -> int:
    """RFC 2181 §8: one with the top bit set counts as 0."""
    return ttl_seconds if ttl_seconds <= 0x7FFFFFFF else 0


def _texts(record_type: str, message: bytes, records: list[_Record]) -> tuple[str, ...]:
    if record_type == "MX":
        pairs = sorted(_preference(message, record) for record in records)
        return tuple(f"{preference} {host}" for preference, host in pairs)
    return tuple([_text(record_type, message, record) for record in records])


def _preference(message: bytes, record: _Record) -> tuple[int, str]:
    (preference,) = struct.unpack_from("!H", message, record.start)
    return preference, _host(message, record.start + 2)


def _text(record_type: str, message: bytes, record: _Record) -> str:
    octets = message[record.start : record.end]
    match record_type:
        case "A" if len(octets) == 4:
            return socket.inet_ntoa(octets)
        case "AAAA" if len(octets) == 16:
            return socket.inet_ntop(socket.AF_INET6, octets)
        case "TXT":
            return _strings(octets)
        case "PTR" | "CNAME" | "NS":
            return _host(message, record.start)
        case "TLSA" if len(octets) > 3:
            return f"{octets[0]} {octets[1]} {octets[2]} {octets[3:].hex()}"
    raise Malformed(f"{record_type} of {len(octets)} octets")


def _strings(octets: bytes) -> str:
    """Join the strings of a TXT record."""
    position = 0
    strings: list[bytes] = []
    while position < len(octets):
        end = position + 1 + octets[position]
        if end > len(octets):
            raise Malformed("TXT is cut short")
        strings.append(octets[position + 1 : end])
        position = end
    return b"".join(strings).decode("latin-1")


def _host(message: bytes, position: int) -> str:
    return _name(message, position)[0] or "."


def _name(message: bytes, position: int) -> tuple[str, int]:
    """Read a name, compressed or not (RFC 1035 §4.1.4), in lower case, odd octets escaped (§5.1); and where it ends."""
    labels: list[str] = []
    end = 0
    octets = 0
    for _ in range(_MOST_JUMPS):
        length = message[position]
        while 0 < length < 64:
            octets += length + 1
            label = message[position + 1 : position + 1 + length]
            if len(label) < length or octets > 254:
                raise Malformed("a name is cut short, or too long")
            labels.append(_label(label))
            position += length + 1
            length = message[position]
        if not length:
            return ".".join(labels), end or position + 1
        if length < 0xC0:
            raise Malformed("unknown kind of label")
        target = (length & 0x3F) << 8 | message[position + 1]
        end = end or position + 2
        if target >= position:
            raise Malformed("a name points forward")
        position = target
    raise Malformed("a name points around too often")


def _label(octets: bytes) -> str:
    text = octets.decode("latin-1")
    if text.isascii() and text.isprintable() and not {".", "\\", " "} & set(text):
        return text.lower()
    return "".join(
        chr(octet).lower() if 0x20 < octet < 0x7F and octet not in b".\\" else f"\\{octet:03d}" for octet in octets
    )
