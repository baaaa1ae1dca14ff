"""Domain names on their way to the wire (RFC 1035 §2.3.4, §3.1)."""

import re
from typing import Final

_LABEL: Final = re.compile(r"[\x20-\x2d\x2f-\x7e]{1,63}")
MAX_NAME_OCTETS: Final = 253  # of text; 255 on the wire with the first length octet and the root


def normalised(name: str) -> str | None:
    """Give the name in lower case without a final dot; None when no such name can be asked for.

    That is: non-ASCII, control characters, an empty label, a label past 63 octets, a name past 253, or the root. A
    blank is an octet like others (RFC 2181 §11); SPF macros can put one into a name.
    """
    text = name.removesuffix(".").lower()
    if not text or len(text) > MAX_NAME_OCTETS or not text.isascii():
        return None
    return text if all(map(_LABEL.fullmatch, text.split("."))) else None


def encoded(name: str) -> bytes:
    """Give the wire form of a normalised name."""
    return b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".")) + b"\0"
