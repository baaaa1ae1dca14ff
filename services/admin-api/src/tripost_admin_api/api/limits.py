"""The limits that hold for all listeners (`EdgeConfig.limits`)."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from tripost_admin_api.api.limit_values import errors_of_limits
from tripost_admin_api.api.merge_patch import Patch, in_openapi
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import all_invalid
from tripost_admin_api.configuration import documents
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.edge_limits import EdgeLimits

router = APIRouter(prefix="/limits", tags=["limits"])

Limits = dict[str, int | float | None]


def _schema() -> dict[str, Any]:
    """Describe each limit: what it is, what is accepted, and its default as edge ships."""
    properties = EdgeLimits.model_json_schema()["properties"]
    kinds = {name: {**about, "type": [about["type"], "null"]} for name, about in properties.items()}
    return {"type": "object", "properties": kinds, "additionalProperties": False}


@router.get("")
async def show_limits(parts: PartsNeeded, response: Response) -> Limits:
    """Show all limits. Null: nothing is set, and each edge has the default of its settings."""
    async with parts.database.reading() as session:
        present = await documents.read_edge(session)
    response.headers["ETag"] = f'"{present.revision}"'
    return _shown(present)


@router.patch("", openapi_extra=in_openapi(_schema()))
async def change_limits(
    patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> Limits:
    """Set limits in all edges at once, in sessions that are open too: a merge patch, in which null restores a default.

    What a listener has for itself goes before it.
    """
    wrong = list(errors_of_limits(patch, EdgeLimits, "body"))
    if wrong:
        raise all_invalid(wrong)
    async with parts.changing(actor) as change:
        present = await documents.read_edge(change.session)
        require_match(if_match, f'"{present.revision}"', "The limits were changed meanwhile; read them again.")
        limits = {name: value for name, value in {**present.limits, **patch}.items() if value is not None}
        wanted = msgspec.structs.replace(present, limits=limits)
        await change.write_document(EDGE_KEY, wanted)
        before, after = _shown(present), _shown(wanted)
        changed = sorted(name for name in after if before[name] != after[name])
        change.note(
            "limits.update", "limits", {name: before[name] for name in changed}, {name: after[name] for name in changed}
        )
    response.headers["ETag"] = f'"{change.revision}"'
    return after


def _shown(config: EdgeConfig) -> Limits:
    return {name: config.limits.get(name) for name in EdgeLimits.model_fields}
