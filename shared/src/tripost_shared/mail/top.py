"""What stands between fields that are put on top of a message and the message itself (RFC 5322 §2.2); pure."""

import re
from typing import Final

LOOKED_AT_OCTETS: Final = 998  # a line may have no more (RFC 5322 §2.1.1), so a longer name is none

_FIELD_NAME: Final = re.compile(rb"[\x21-\x39\x3b-\x7e]+[ \t]*:")
_MAILBOX_LINE: Final = re.compile(rb">*From ")


def seam(beginning: bytes) -> bytes:
    """Give what must follow our own fields so that they change nothing else about content that begins like this.

    `beginning` is the content's first LOOKED_AT_OCTETS, or all of it. Content with a header, or with an empty one,
    needs nothing. Other content is all body, and would be taken for header, its first line even for more of our last
    field when it begins with a space: an empty line ends the header. A line `From …` of the mbox format, which some
    clients leave on top, becomes a field, so that the true header below it stays one. Postfix does the same.
    """
    if not beginning or beginning.startswith(b"\r\n") or _FIELD_NAME.match(beginning, 0, LOOKED_AT_OCTETS):
        return b""
    return b"X-Mailbox-Line: " if _MAILBOX_LINE.match(beginning) else b"\r\n"
