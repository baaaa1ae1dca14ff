"""Encoded words (RFC 2047), undone as the most lenient readers do it: wherever they stand."""

import binascii
import pkgutil
import re
from base64 import b64decode
from encodings import __path__ as modules_of_codecs
from encodings import normalize_encoding
from encodings.aliases import aliases
from quopri import decodestring
from typing import Final

# RFC 2047 §2, and a language after the charset (RFC 2231 §5); each octet can be matched in one way, for time's sake.
_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]*)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_BETWEEN_WORDS: Final = re.compile(r"\?=\s+=\?")
_MOST_CHARACTERS: Final = 40  # of a charset's name
# Python looks each other name up on disk, and remembers it for good. Two codecs take time that grows with the square of
# what they read, and no mail reader knows them.
_CHARSETS: Final = frozenset(module.name for module in pkgutil.iter_modules(modules_of_codecs)).union(aliases) - {
    "punycode",
    "idna",
}


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
        return decoded.decode(charset if _is_known(charset) else "ascii", "replace")
    except (LookupError, ValueError):
        return decoded.decode("ascii", "replace")


def _is_known(charset: str) -> bool:
    return len(charset) <= _MOST_CHARACTERS and normalize_encoding(charset).lower().replace(".", "_") in _CHARSETS
