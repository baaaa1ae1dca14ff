"""Values of edge's limits, as requests give them; pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from tripost_admin_api.api.problems import FieldError
from tripost_admin_api.api.wording import unknown
from tripost_shared.edge_limits import EdgeLimits, SessionLimits
from tripost_shared.wording import in_words

LARGEST: Final = 1 << 40  # of any limit: more is meant by nobody, and not every sum takes it


def errors_of_limits(
    limits: Mapping[str, Any], kind: type[EdgeLimits] | type[SessionLimits], place: str
) -> Iterator[FieldError]:
    """Say what is wrong with each limit, `place` being where they all are; null is left to the caller."""
    for name, value in limits.items():
        because = _objection(name, value, kind)
        if because:
            yield FieldError(f"{place}.{name[:100]}", because)


def _objection(name: str, value: Any, kind: type[EdgeLimits] | type[SessionLimits]) -> str:
    if name not in kind.model_fields:
        if name in EdgeLimits.model_fields:
            return "is over all sessions, so no listener has its own; set it for all listeners"
        return unknown("limit", [name], kind.model_fields)
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "accepted is a number"
    if isinstance(value, (int, float)) and value > LARGEST:
        return f"accepted is {LARGEST} at most"
    try:
        kind.model_validate({name: value}, strict=True)
    except ValidationError as error:
        return in_words(error.errors(include_url=False, include_input=False)[0])
    return ""
