"""Conditions on which a change is wanted (RFC 9110 §13.1); pure."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Header

from tripost_admin_api.api.problems import Problem

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'  # §8.8.3; a comma within is no separator
_TAGS: Final = re.compile(rf"[ \t,]*(?:{_TAG}[ \t]*(?:,[ \t,]*|$))*")  # empty elements are passed over (§5.6.1.2)

IfMatch = Annotated[
    list[str] | None,
    Header(description='The `ETag` of what is to be changed, such as `"17"`; or several, or `*` for any.'),
]


def require_match(if_match: Sequence[str] | None, present: str, changed: str) -> None:
    """Raise Problem when `If-Match`, all its field lines, is false of what is there, whose entity-tag is `present`.

    Tags are compared strongly (§8.8.3.2): a weak one (`W/"17"`), which a proxy may have made of ours, is none of ours.
    `changed` is the sentence for people.
    """
    if if_match is None:
        return
    field = ",".join(if_match).strip(" \t")
    if field == "*":
        return
    if not _TAGS.fullmatch(field):
        raise Problem("malformed-request", 'If-Match cannot be read; accepted is an ETag in its quotes, as "17", or *.')
    if present not in re.findall(_TAG, field):
        raise Problem("precondition-failed", changed)
