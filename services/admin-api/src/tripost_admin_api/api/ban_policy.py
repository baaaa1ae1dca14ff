"""What makes edge ban a client's network by itself, and for how long."""

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import Field, model_validator

from tripost_admin_api.api.merge_patch import OBJECT, Patch, merge, patched
from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.configuration import documents
from tripost_shared.contracts.bans import BansPolicy
from tripost_shared.contracts.config import EDGE_KEY

router = APIRouter(prefix="/bans/policy", tags=["bans"])

YEAR = 31_536_000


class TriggerBody(Incoming):
    """So many of something within a window ban a network."""

    enabled: bool
    threshold: int = Field(ge=1, le=1_000_000, description="Bans from this number on.")
    window_seconds: int = Field(ge=1, le=86_400)
    duration_seconds: int = Field(ge=1, le=YEAR, description="Of the first ban; each one after it takes twice as long.")


class BansPolicyBody(Incoming):
    """Automatic bans, counted over all edges by a client's IPv4 address, or IPv6 /64."""

    enabled: bool
    authentication: TriggerBody = Field(description="Failed authentications.")
    protocol: TriggerBody = Field(description="Sessions ended for errors; HTTP, or TLS where none is expected.")
    unknown_recipients: TriggerBody = Field(description="Recipients of our domains that do not exist.")
    early_talkers: TriggerBody = Field(description="Sessions in which the client talked before it was greeted.")
    longest_seconds: int = Field(ge=1, le=YEAR, description="No ban takes longer, however often it is repeated.")
    memory_seconds: int = Field(
        ge=0, le=YEAR, description="A ban so soon after the last one takes twice as long as that."
    )

    @model_validator(mode="after")
    def _none_longer_than_the_longest(self) -> "BansPolicyBody":
        for name in ("authentication", "protocol", "unknown_recipients", "early_talkers"):
            if getattr(self, name).duration_seconds > self.longest_seconds:
                raise ValueError(f"{name}.duration_seconds must not be more than longest_seconds")
        return self


@router.get("")
async def show_ban_policy(parts: PartsNeeded) -> BansPolicyBody:
    """Show what bans by itself."""
    async with parts.database.reading() as session:
        return _shown((await documents.read_edge(session)).bans)


@router.patch("", openapi_extra=OBJECT)
async def change_ban_policy(patch: Patch, parts: PartsNeeded, actor: ActorNeeded) -> BansPolicyBody:
    """Change parts of it: a merge patch (RFC 7396), in which null restores a default."""
    async with parts.changing(actor) as change:
        edge = await documents.read_edge(change.session)
        before = _shown(edge.bans).model_dump(mode="json")
        body = _merged(before, patch)
        after = body.model_dump(mode="json")
        policy = msgspec.convert(after, BansPolicy)
        await change.write_document(EDGE_KEY, msgspec.structs.replace(edge, bans=policy))
        changed = [name for name in after if before[name] != after[name]]
        was, is_now = ({name: members[name] for name in changed} for members in (before, after))
        change.note("ban-policy.update", "bans", was, is_now)
    return body


def _merged(present: dict[str, Any], patch: dict[str, Any]) -> BansPolicyBody:
    """Apply the patch to what is in force; what it takes out has its default. Raises Problem."""
    defaults = _shown(BansPolicy()).model_dump(mode="json")
    return patched(BansPolicyBody, defaults, merge(present, patch))


def _shown(policy: BansPolicy) -> BansPolicyBody:
    return BansPolicyBody.model_validate(msgspec.to_builtins(policy))
