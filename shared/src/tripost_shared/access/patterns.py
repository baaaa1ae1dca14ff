"""Names in rules: exact, or all below a domain by a suffix that begins with a dot."""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Final

from tripost_shared.contracts.access import LITERAL
from tripost_shared.mail.address import InvalidAddress, normalise_domain

ADDRESS_LITERAL: Final = re.compile(r"\[[\x21-\x5a\x5e-\x7e]+\]")  # RFC 5321 §4.1.3, General-address-literal included


@lru_cache(maxsize=1024)
def spellings(name: str) -> tuple[str, ...]:
    """Give what a rule may have so that it matches: `a.b.example` gives itself, `.b.example` and `.example`.

    Of what a client says in HELO an address literal gives LITERAL and itself; a name in any case, with a final dot or
    with U-labels, what it is as a domain; other text itself alone, in lower case.
    """
    if ADDRESS_LITERAL.fullmatch(name):
        return LITERAL, name.lower()
    try:
        domain = normalise_domain(name)
    except InvalidAddress:
        return (name.lower(),)
    return domain, *_suffixes(domain)


def covers(patterns: Collection[str], pattern: str) -> bool:
    """Tell whether all names that match `pattern` match one of `patterns` too."""
    return any(wider in patterns for wider in wider_patterns(pattern))


def wider_patterns(pattern: str) -> Iterator[str]:
    """Give all patterns that cover this one, itself first."""
    yield pattern
    if pattern.startswith("["):
        yield LITERAL
    elif pattern != LITERAL:
        yield from _suffixes(pattern)


def _suffixes(name: str) -> Iterator[str]:
    """Give the suffixes above a name, or above another suffix."""
    start = name.find(".", 1)
    while start > 0:
        yield name[start:]
        start = name.find(".", start + 1)
