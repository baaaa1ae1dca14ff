"""Tag lists (RFC 6376 §3.2), as in signatures and key records."""

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_TAGS: Final = 64  # of a list; there are 14 for signatures and 8 for keys
_WHITE_SPACE: Final = " \t\r\n"


class InvalidTags(ValueError):
    """The text is no tag list, or a tag in it has no usable value; the message names the tag."""


def parse_tags(text: str) -> dict[str, str]:
    """Read `name=value; …`; white space around names and values is dropped. Raises InvalidTags."""
    tags: dict[str, str] = {}
    parts = text.split(";", MAX_TAGS)
    if len(parts) > MAX_TAGS:
        raise InvalidTags("too many tags")
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip(_WHITE_SPACE)
        if not name and not equals:
            continue  # after the last semicolon
        if not equals or not _NAME.fullmatch(name):
            raise InvalidTags("malformed tag list")
        if name in tags:
            raise InvalidTags(f"{name}= occurs twice")
        tags[name] = value.strip(_WHITE_SPACE)
    return tags


def without_white_space(text: str) -> str:
    """Drop all folding white space, which may stand anywhere in base64 text."""
    return text.replace("\r\n", "").replace(" ", "").replace("\t", "")


def colon_separated(text: str) -> list[str]:
    """Read a list such as that of `h=`, in lower case."""
    return [item.strip(_WHITE_SPACE).lower() for item in text.split(":")]
