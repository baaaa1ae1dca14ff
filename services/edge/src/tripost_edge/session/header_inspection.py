"""What edge looks at in a header, and what it takes out (RFC 5321 §4.4, §6.3; RFC 8601 §5)."""

import re
from dataclasses import dataclass
from typing import Final

from tripost_edge.session.authserv_id import claims_to_be
from tripost_shared.mail.header import printable, raw_fields, unfold

MAX_SUBJECT_CHARACTERS: Final = 250  # of what goes into the trace

_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_SUBJECT: Final = re.compile(rb"^subject[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_SUSPECT: Final = re.compile(  # the white space before the colon may be folded
    rb"^(?:return-path|authentication-results)(?:[ \t]|\r\n[ \t])*:", re.IGNORECASE | re.MULTILINE
)
_CONTINUING: Final = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class Inspection:
    """A header as it goes on, and what was seen in it. `removed` counts the fields that were taken out."""

    header: bytes
    received_fields: int
    subject: str
    removed: int


def inspect_header(header: bytes, authserv_id: str) -> Inspection:
    """Count the Received fields, read the Subject, and drop fields that a client must not give.

    Those are Return-Path, which the final delivery alone writes (RFC 5321 §4.4), and Authentication-Results that bear
    our own authserv-id, which nobody but us may write (RFC 8601 §5). A header whose first line is a folded one loses
    that: it would continue the last field that we put on top. All other octets stay as they are, since signatures
    cover them.
    """
    kept, removed = header, 0
    if header[:1] in _CONTINUING or _SUSPECT.search(header):
        fields = list(raw_fields(header))
        honest = [field for field in fields if not _is_forged(field, authserv_id)]
        removed = len(fields) - len(honest)
        kept = b"".join(honest)
    subject = _SUBJECT.search(header)
    return Inspection(kept, len(_RECEIVED.findall(header)), _readable(subject[1]) if subject else "", removed)


def _is_forged(field: bytes, authserv_id: str) -> bool:
    if field[:1] in _CONTINUING:
        return True
    name, colon, value = field.partition(b":")
    match name.rstrip(b" \t\r\n").lower() if colon else b"":
        case b"return-path":
            return True
        case b"authentication-results":
            return claims_to_be(authserv_id, value)
    return False


def _readable(value: bytes) -> str:
    return printable(unfold(value).decode("utf-8", "replace"))[:MAX_SUBJECT_CHARACTERS]
