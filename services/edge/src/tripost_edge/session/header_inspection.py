"""What edge looks at in a header, and what it takes out (RFC 5321 §4.4, §6.3; RFC 8601 §5)."""

import re
from dataclasses import dataclass
from typing import Final

from tripost_shared.mail.header import printable, raw_fields, unfold

MAX_SUBJECT_CHARACTERS: Final = 250  # of what goes into the trace

_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_SUBJECT: Final = re.compile(rb"^subject[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_SUSPECT: Final = re.compile(rb"^(?:return-path|authentication-results)[ \t]*:", re.IGNORECASE | re.MULTILINE)

_COMMENT: Final = "\0"  # stands for one while the authserv-id is read; NUL is refused in content


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
    our own authserv-id, which nobody but us may write (RFC 8601 §5). All other octets stay as they are, since
    signatures cover them.
    """
    kept, removed = header, 0
    if _SUSPECT.search(header):
        fields = list(raw_fields(header))
        honest = [field for field in fields if not _is_forged(field, authserv_id.lower())]
        removed = len(fields) - len(honest)
        kept = b"".join(honest)
    subject = _SUBJECT.search(header)
    return Inspection(kept, len(_RECEIVED.findall(header)), _readable(subject[1]) if subject else "", removed)


def _is_forged(field: bytes, authserv_id: str) -> bool:
    name, colon, value = field.partition(b":")
    match name.rstrip(b" \t").lower() if colon else b"":
        case b"return-path":
            return True
        case b"authentication-results":
            return authserv_id in _authserv_ids(value.decode("latin-1"))
    return False


def _authserv_ids(value: str) -> set[str]:
    """Read who claims to have written the field, as its most lenient readers would.

    That is its first word, comments (which nest), quotes, escapes and a final dot left out. To some readers a comment
    separates words, to others it is nothing.
    """
    depth = 0
    outside: list[str] = []
    escaped = False
    for character in value:
        if depth and escaped:
            escaped = False
        elif depth and character == "\\":
            escaped = True
        elif character == "(":
            depth += 1
            outside.append(_COMMENT)
        elif character == ")" and depth:
            depth -= 1
        elif not depth:
            if character == ";":
                break
            outside.append(character)
    plain = "".join(outside).replace('"', "").replace("\\", "").lower()
    readings = (plain.replace(_COMMENT, between).split() for between in ("", " "))
    return {words[0].rstrip(".") for words in readings if words}


def _readable(value: bytes) -> str:
    return printable(unfold(value).decode("utf-8", "replace"))[:MAX_SUBJECT_CHARACTERS]
