"""Query parameters are taken only where they are known: a filter with a typing error would find everything."""

from collections import Counter
from typing import Any

from fastapi import Request

from tripost_admin_api.api.problems import invalid
from tripost_admin_api.api.wording import unknown


async def refuse_unknown_parameters(request: Request) -> None:
    """Raise Problem for a query parameter that the operation does not have, or that is given twice."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given:
        return
    accepted = _accepted(request.app.openapi(), request.scope["endpoint"].__name__)
    odd = [name for name in given if name not in accepted]
    if odd:
        raise invalid("query", unknown("parameter", odd, accepted))
    for name, count in given.items():
        if count > 1:
            raise invalid(f"query.{name}", f"is given {count} times; accepted is one")


def _accepted(document: dict[str, Any], operation_id: str) -> list[str]:
    """Name an operation's query parameters, as the OpenAPI document has them; an operation is named as its handler."""
    return [
        parameter["name"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if operation["operationId"] == operation_id
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    ]
