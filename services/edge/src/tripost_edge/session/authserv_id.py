"""Who an Authentication-Results field claims to be from (RFC 8601 §2.2, §5), as its most lenient readers see it.

In an ARC-Authentication-Results field the number of its set stands before that (RFC 8617 §4.1.1): `i=1;`.

A field that only one reader in a hundred takes for ours is forged all the same. So the value is read in several ways,
and one that gives our name is enough. What is lost by that is at worst a field that nobody could rely on.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from tripost_edge.session.encoded_words import with_words_decoded
from tripost_shared.mail.address import InvalidAddress, normalise_domain

MAX_OCTETS: Final = 1024  # of a value that are read; honest fields say who they are from in the first hundred

_COMMENT: Final = "\0"  # stands for one; NUL is refused in content
_NAME: Final = re.compile(r"\w[\w.-]*")
_BEFORE_A_NAME: Final = re.compile(r"\W*+(?:i\s*+=\s*+\d*+\s*+;\W*+)?")


def claims_to_be(authserv_id: str, value: bytes) -> bool:
    """Whether some reader takes the value (after the colon) for one that bears this authserv-id."""
    ours = _plain(authserv_id)
    text = value[:MAX_OCTETS].decode("utf-8", "surrogateescape")
    is_cut = len(value) > MAX_OCTETS
    return any(_names(reading, ours, is_cut=is_cut) for reading in _readings(text))


def _readings(text: str) -> Iterator[str]:
    """Give the text as it is and with encoded words read, comments as nothing and as a space.

    A comment that never ends is none to some readers.
    """
    for spelling in {text, with_words_decoded(text)}:
        outside = _outside_comments(spelling)
        for between in ("", " ") if _COMMENT in outside else ("",):
            yield _plain(outside.replace(_COMMENT, between))
        if spelling.count("(") != spelling.count(")"):
            yield _plain(spelling.replace("(", " ").replace(")", " "))


def _names(reading: str, ours: str, *, is_cut: bool) -> bool:
    """Whether what stands before the first `;` is our name; each `;` before any name is passed over, as readers do."""
    before = _BEFORE_A_NAME.match(reading)
    reading, end, _ = reading[before.end() if before else 0 :].partition(";")
    if is_cut and not end:
        return True  # so long a prelude has no honest purpose
    squeezed = "".join(reading.split())  # some readers unfold by leaving white space out; a version may follow
    if re.fullmatch(re.escape(ours) + r"\.?\d*", squeezed):
        return True
    name = _NAME.search(reading)
    return name is not None and ours in {name[0].rstrip("."), _in_a_labels(name[0])}


def _outside_comments(value: str) -> str:
    """Leave comments out, which nest and have escapes (RFC 5322 §3.2.2)."""
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
            outside.append(character)
    return "".join(outside)


def _plain(text: str) -> str:
    """Leave out quotes, escapes and what is invisible, and give letters their plain form."""
    normal = unicodedata.normalize("NFKC", text.replace('"', "").replace("\\", ""))
    plain = normal.replace("\u3002", ".").casefold()
    if plain.isascii():
        return plain
    return plain.translate({ord(c): None for c in set(plain) if unicodedata.category(c) == "Cf"})


def _in_a_labels(name: str) -> str:
    try:
        return normalise_domain(name)
    except InvalidAddress:
        return ""
