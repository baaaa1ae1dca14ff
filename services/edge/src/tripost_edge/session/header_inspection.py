"""What edge looks at in a header, and what it takes out (RFC 5321 §4.4, §6.3; RFC 5322 §3.6.3; RFC 8601 §5)."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tripost_edge.session.authserv_id import MAX_OCTETS, claims_to_be
from tripost_edge.session.loop import times_taken_by
from tripost_shared.mail.header import printable, raw_fields, unfold

MAX_SUBJECT_CHARACTERS: Final = 250  # of what goes into the trace
# Of Authentication-Results that are read for their authserv-id; a hostile octet costs 0.6 µs.
MAX_RESULTS: Final = 50
MAX_RESULTS_OCTETS: Final = 8 * 1024

# The pattern is matched against the header in lower case, with a CRLF before it: so it begins with what is found
# quickly, and one look at the first letter leaves most fields out. That costs 1 µs for a usual header, where `^` and
# IGNORECASE cost 20. White space before a colon may be folded.
_COLON: Final = rb"[ \t]*+(?:\r\n[ \t]++)*+:"
_VALUE: Final = re.compile(rb"[^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+")
_LOOKED_AT: Final = re.compile(
    rb"\r\n(?=[abfrsx\xef])(?:\xef\xbb\xbf)*+(received|subject|from|"  # some readers see no byte order mark
    rb"return-path|(?:arc-)?authentication-results|x-spam-(?:flag|status)|(?:resent-)?bcc|x-tripost-[!-9;-~]*+)"
    + _COLON
)
_HONEST: Final = frozenset({b"received", b"subject", b"from"})
_OURS: Final = b"x-tripost-"  # so begin names that only we may use
_RESULTS: Final = (b"authentication-results", b"arc-authentication-results")
_SPAM_MARKS: Final = (b"x-spam-flag", b"x-spam-status")
_BLIND_COPIES: Final = (b"bcc", b"resent-bcc")
_MARK_OCTETS: Final = b"\xef\xbb\xbf"
_CONTINUING: Final = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class Inspection:
    """A header as it goes on, and what was seen in it. `removed` counts the fields that were taken out.

    `times_here` is how often our own host has taken the message, as its Received fields say. `from_fields` are the raw
    values of the first From fields, two at most.
    """

    header: bytes
    received_fields: int
    subject: str
    removed: int
    from_fields: tuple[bytes, ...] = ()
    times_here: int = 0


def count_fields(header: bytes) -> int:
    """Count the fields of a header, lines that are none among them; folded lines belong to the field before."""
    return header.count(b"\r\n") - header.count(b"\r\n ") - header.count(b"\r\n\t")


def inspect_header(
    header: bytes, authserv_id: str, *, is_submitted: bool = False, may_mark: bool = False
) -> Inspection:
    """Count the Received fields, read the Subject, and drop fields that a client must not give.

    Those are Return-Path, which the final delivery alone writes (RFC 5321 §4.4), names that begin with X-Tripost-, and
    Authentication-Results that bear our own authserv-id, which nobody but us may write (RFC 8601 §5); those of ARC as
    well (RFC 8617 §4.1.1), since we write none. Of these so many are read; those beyond are dropped unread, since
    nobody could rely on them. X-Spam-Flag and X-Spam-Status are written by the filter, and mail readers act on them: of
    others only those with `may_mark` may give them. Of mail that `is_submitted` by a user, whose program may rely on
    it, blind copies are not told to others (RFC 5322 §3.6.3). A header whose first line is a folded one loses that: it
    would continue the last field that we put on top. All other octets stay as they are, since signatures cover them.
    """
    kept, removed = header, 0
    seen = _values_begin(header)
    if header[:1] in _CONTINUING or seen.keys() - _HONEST:
        fields = list(raw_fields(header))
        unwanted = (b"return-path", *(() if may_mark else _SPAM_MARKS), *(_BLIND_COPIES if is_submitted else ()))
        honest = list(_Sieve(authserv_id, unwanted).honest(fields))
        removed = len(fields) - len(honest)
        kept = b"".join(honest)
    received_fields = len(seen.get(b"received", ()))
    subject = _values(header, seen.get(b"subject", ())[:1])
    return Inspection(
        kept,
        received_fields,
        _readable(subject[0]) if subject else "",
        removed,
        _values(header, seen.get(b"from", ())[:2]),
        times_taken_by(header, authserv_id) if received_fields else 0,
    )


def _values_begin(header: bytes) -> dict[bytes, list[int]]:
    """Find the fields that are looked at: by their names in lower case, where their values begin."""
    seen: dict[bytes, list[int]] = {}
    for match in _LOOKED_AT.finditer(b"\r\n" + header.lower()):
        seen.setdefault(match[1], []).append(match.end() - 2)  # what is searched has two octets more
    return seen


def _values(header: bytes, begins: Iterable[int]) -> tuple[bytes, ...]:
    """Give the raw values that begin there."""
    return tuple(match[0] for begin in begins if (match := _VALUE.match(header, begin)))


class _Sieve:
    """Lets the fields of one header through that a client may give."""

    def __init__(self, authserv_id: str, unwanted: Collection[bytes]) -> None:
        self._authserv_id = authserv_id
        self._unwanted = unwanted
        self._results = 0
        self._results_octets = 0

    def honest(self, fields: Iterable[bytes]) -> Iterator[bytes]:
        for field in fields:
            if field[:1] in _CONTINUING:
                continue
            before, colon, value = field.partition(b":")
            name = before.rstrip(b" \t\r\n").lstrip(_MARK_OCTETS).lower() if colon else b""
            if name in _RESULTS:
                if self._is_too_much(value) or claims_to_be(self._authserv_id, value):
                    continue
            elif name in self._unwanted or name.startswith(_OURS):
                continue
            yield field

    def _is_too_much(self, value: bytes) -> bool:
        self._results += 1
        self._results_octets += min(len(value), MAX_OCTETS)
        return self._results > MAX_RESULTS or self._results_octets > MAX_RESULTS_OCTETS


def _readable(value: bytes) -> str:
    return printable(unfold(value).decode("utf-8", "replace"))[:MAX_SUBJECT_CHARACTERS]
