"""Merge patches (RFC 7396): parts of something are changed, and null restores a default."""

from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends
from pydantic import BaseModel, ValidationError

from tripost_admin_api.api.bodies import Body
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.api.wording import problem_of_errors

Model = TypeVar("Model", bound=BaseModel)


def in_openapi(schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe the body to OpenAPI, which sees none: it is read by hand."""
    content = {"application/json": {"schema": schema or {"type": "object"}}}
    return {"requestBody": {"required": True, "content": content}}


OBJECT: Final = in_openapi()


async def _object(body: Body) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Problem("malformed-request", "The body is no JSON object.")
    return body


Patch = Annotated[dict[str, Any], Depends(_object)]


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396 §2)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def patched(kind: type[Model], present: Any, patch: dict[str, Any]) -> Model:
    """Give what becomes of `present`, which is as the API shows it. Raises Problem, which names fields of the body."""
    try:
        return kind.model_validate(merge(present, patch))
    except ValidationError as error:
        raise problem_of_errors(error.errors(include_url=False, include_input=False), ("body",)) from None
