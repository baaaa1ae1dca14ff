"""Encoded words (RFC 2047), undone as the most lenient readers do it: wherever they stand."""

import binascii
import re
from base64 import b64decode
from quopri import decodestring
from typing import Final

_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]*)[^?\s]*\?([bq])\?([^?]*)\?=", re.IGNORECASE)  # RFC 2047 §2
_BETWEEN_WORDS: Final = re.compile(r"\?=\s+=\?")


def with_words_decoded(text: str) -> str:
    """Give the text with each encoded word in its place decoded; one that cannot be stays."""
    return _ENCODED_WORD.sub(_decoded_word, _BETWEEN_WORDS.sub("?==?", text)) if "=?" in text else text


def _decoded_word(word: re.Match[str]) -> str:
    charset, encoding, octets = word[1], word[2].lower(), word[3].encode("ascii", "replace")
    try:
        decoded = b64decode(octets) if encoding == "b" else decodestring(octets, header=True)
    except binascii.Error:
        return word[0]
    try:
        return decoded.decode(charset or "ascii", "replace")
    except (LookupError, ValueError):
        return decoded.decode("ascii", "replace")
