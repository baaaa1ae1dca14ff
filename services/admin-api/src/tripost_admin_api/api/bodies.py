"""A request's body: JSON that says that it is JSON, and that names no member twice."""

import json
from collections import Counter
from typing import Annotated, Any

from fastapi import Depends, Request

from tripost_admin_api.api.problems import Problem, invalid


async def read_body(request: Request) -> Any:
    """Give what the body says, None for an empty one; raises Problem.

    It is asked before every operation, whatever the operation itself makes of the body: of a name that is given twice
    (RFC 8259 §4) readers elsewhere may take the other value.
    """
    body = await request.body()
    if not body:
        return None
    if not _says_json(request):
        raise Problem("unsupported-media-type", "Send JSON, with `Content-Type: application/json`.")
    try:
        return json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or nested as nothing here is
        raise Problem("malformed-request", "The body is no JSON.") from None


Body = Annotated[Any, Depends(read_body)]


def _says_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) < len(members):
        name, count = Counter(name for name, _ in members).most_common(1)[0]
        raise invalid("body", f"{name[:100]!r} is given {count} times; accepted is one")
    return read
