"""SASLprep: the form in which clients hash a password for SCRAM (RFC 4013; its tables are stringprep's, RFC 3454)."""

import stringprep
import unicodedata
from typing import Final

_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class NotPreparable(ValueError):
    """The text has a character that the profile forbids, or mixes directions of writing."""


def saslprep(text: str) -> str:
    """Prepare a text (RFC 4013 §2); characters that Unicode 3.2 does not know are taken. Raises NotPreparable."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(is_in(character) for character in prepared for is_in in _PROHIBITED):
        raise NotPreparable("a character that is forbidden")
    if any(map(stringprep.in_table_d1, prepared)):  # RFC 3454 §6
        runs_left = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if any(map(stringprep.in_table_d2, prepared)) or not runs_left:
            raise NotPreparable("directions of writing are mixed")
    return prepared
