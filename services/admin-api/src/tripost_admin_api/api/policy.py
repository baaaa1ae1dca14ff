"""The policy: how the filter judges mail (`FilterConfig`)."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field, field_validator, model_validator

from tripost_admin_api.api.merge_patch import OBJECT, Patch, patched
from tripost_admin_api.api.models import DomainName, ExemptNetwork, Incoming, Score
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.preconditions import IfMatch, require_match
from tripost_admin_api.api.problems import invalid
from tripost_admin_api.api.wording import unknown
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.changes import Change
from tripost_shared.contracts.config import DEFAULT_CHECKS, FILTER_KEY, FilterConfig, OnError, PolicyMode
from tripost_shared.networks import parse_network

router = APIRouter(prefix="/policy", tags=["policy"])

MODE: Final = "`monitor`: judge and tag everything, refuse nothing."
CheckName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class CheckPolicyBody(Incoming):
    """The failure policy and time budget of one check."""

    enabled: bool = True
    on_error: OnError = Field(OnError.ACCEPT, description="What it means when the check cannot do its work.")
    error_score: Score = Field(0.0, description="Added when `on_error` is `score`.")
    time_budget_ms: int = Field(2000, ge=10, le=60_000)


class DnsblZoneBody(Incoming):
    """A DNS block list (RFC 5782)."""

    zone: DomainName
    score: Score = 4.0
    refuse: bool = Field(True, description="A listing alone refuses.")


class GreylistBody(Incoming):
    """Greylisting (RFC 6647); durations in seconds."""

    enabled: bool = True
    delay_seconds: int = Field(300, ge=0, le=86_400)
    retry_window_seconds: int = Field(172_800, ge=60, le=2_592_000)
    remember_seconds: int = Field(3_024_000, ge=60, le=31_536_000)

    @model_validator(mode="after")
    def _delay_ends_in_window(self) -> "GreylistBody":
        if self.delay_seconds >= self.retry_window_seconds:
            raise ValueError("delay_seconds must be less than retry_window_seconds, or no retry ever counts")
        return self


class PolicyBody(Incoming):
    """How mail is judged."""

    mode: PolicyMode = Field(PolicyMode.ENFORCE, description=MODE)
    checks: dict[CheckName, CheckPolicyBody] = Field(
        {},
        max_length=100,
        description=f"Checks whose policy is not their default one: {', '.join(DEFAULT_CHECKS)}. What is left out of a "
        "check's policy has that check's own default.",
    )
    dnsbl_zones: list[DnsblZoneBody] = Field([], max_length=50)
    greylist: GreylistBody = GreylistBody()
    reject_score: Score = Field(15.0, description="A message that scores as much is refused.")
    tag_score: Score = Field(6.0, description="A message that scores as much is marked as spam.")
    spf_reject_fail: bool = Field(True, description="Refuse mail when SPF says `fail`.")
    exempt_networks: list[ExemptNetwork] = Field(
        ["127.0.0.0/8", "::1/128"], max_length=500, description="Clients that block lists and greylist leave alone."
    )

    @field_validator("checks", mode="before")
    @classmethod
    def _complete(cls, checks: Any) -> Any:
        """Give what is left out of a check's policy that check's own default."""
        if not isinstance(checks, dict):
            return checks
        return {
            name: msgspec.to_builtins(DEFAULT_CHECKS[name]) | policy
            if name in DEFAULT_CHECKS and isinstance(policy, dict)
            else policy
            for name, policy in checks.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> "PolicyBody":
        if self.tag_score > self.reject_score:
            raise ValueError("tag_score must not be more than reject_score")
        zones = [zone.zone for zone in self.dnsbl_zones]
        if len(set(zones)) < len(zones):
            raise ValueError("dnsbl_zones names a zone twice")
        return self


class WholePolicyBody(PolicyBody):
    """A whole policy, which says at least its mode: an empty one is rather a mistake than all defaults."""

    mode: PolicyMode = Field(description=MODE)


@router.get("")
async def show_policy(parts: PartsNeeded, response: Response) -> PolicyBody:
    """Show the policy. Its `ETag` makes a change safe against another one meanwhile."""
    async with parts.database.reading() as session:
        present = await documents.read_filter(session)
    response.headers["ETag"] = _etag(present)
    return _shown(present)


@router.put("")
async def replace_policy(
    body: WholePolicyBody, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> PolicyBody:
    """Replace the whole policy; what is left out, but for the mode, has its default."""
    async with parts.changing(actor) as change:
        present = await documents.read_filter(change.session)
        return await _replace(change, present, body, if_match, response)


@router.patch("", openapi_extra=OBJECT)
async def change_policy(
    patch: Patch, parts: PartsNeeded, actor: ActorNeeded, response: Response, if_match: IfMatch = None
) -> PolicyBody:
    """Change parts of the policy: a merge patch (RFC 7396), in which null restores a default."""
    async with parts.changing(actor) as change:
        present = await documents.read_filter(change.session)
        body = patched(PolicyBody, _shown(present).model_dump(mode="json"), patch)
        return await _replace(change, present, body, if_match, response)


async def _replace(
    change: Change, present: FilterConfig, body: PolicyBody, if_match: Sequence[str] | None, response: Response
) -> PolicyBody:
    require_match(if_match, _etag(present), "The policy was changed meanwhile; read it again.")
    odd = body.checks.keys() - DEFAULT_CHECKS.keys() - present.checks.keys()  # of another release, left in place
    if odd:
        raise invalid("body.checks", unknown("check", sorted(odd), DEFAULT_CHECKS))
    wanted = msgspec.convert(body.model_dump(mode="json"), FilterConfig)
    await change.write_document(FILTER_KEY, wanted)
    before, after = _shown(present).model_dump(mode="json"), body.model_dump(mode="json")
    changed = sorted(name for name in after if before[name] != after[name])
    change.note(
        "policy.update", "policy", {name: before[name] for name in changed}, {name: after[name] for name in changed}
    )
    response.headers["ETag"] = f'"{change.revision}"'
    return body


def _shown(config: FilterConfig) -> PolicyBody:
    members = msgspec.to_builtins(config)
    del members["revision"]
    members["exempt_networks"] = [network for network in config.exempt_networks if _is_heeded(network)]
    return PolicyBody.model_validate(members)


def _is_heeded(network: str) -> bool:
    """Tell whether filter heeds it, which leaves out what it cannot read."""
    try:
        parse_network(network)
    except ValueError:
        return False
    return True


def _etag(config: FilterConfig) -> str:
    return f'"{config.revision}"'
