"""Findings and policy become a verdict; pure.

In this order: a check's own refusal (5yz before 4yz, then in the registry's order), `reject_score`, `tag_score`. In
monitor mode nothing is refused; what would have been refused is tagged, and the verdict names the action held back.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from tripost_shared.contracts.config import CheckPolicy, FilterConfig, OnError, PolicyMode
from tripost_shared.contracts.filter import Action, Finding, Verdict
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

REFUSED_BY_SCORE: Final = SmtpReply(554, "5.7.1", "Refused as spam by policy")
REJECT_RULE: Final = "reject_score"
TAG_RULE: Final = "tag_score"


def under_failure_policy(finding: Finding, policy: CheckPolicy) -> Finding:
    """Give a degraded finding the weight that the check's failure policy says."""
    match policy.on_error:
        case OnError.ACCEPT:
            return finding
        case OnError.TEMPFAIL:
            return msgspec.structs.replace(finding, refuse_with=TRY_LATER)
        case OnError.SCORE:
            return msgspec.structs.replace(finding, score=finding.score + policy.error_score)


def decide(
    findings: Sequence[Finding], config: FilterConfig, *, earlier: Sequence[Finding] = (), is_final: bool = False
) -> Verdict:
    """Judge a stage by its findings.

    Findings of earlier stages count with their scores; what they asked for has been decided, and is asked again in
    monitor mode only, to tag what would have been refused. Only the final stage tags, since before it there is nothing
    to tag.
    """
    score = 0.0
    for finding in (*findings, *earlier):
        score += finding.score
    score = round(score, 2)
    refusing = _first_refusal(findings)
    monitoring = config.mode is PolicyMode.MONITOR
    if refusing is None and monitoring:
        refusing = _first_refusal(earlier)
    if refusing is not None and refusing.refuse_with is not None:
        rule, reply = refusing.check, refusing.refuse_with
    elif score >= config.reject_score:
        rule, reply = REJECT_RULE, REFUSED_BY_SCORE
    elif score >= config.tag_score and is_final:
        return _verdict(Action.TAG, findings, score, TAG_RULE, config)
    else:
        return _verdict(Action.ACCEPT, findings, score, "", config)
    action = Action.REJECT if reply.is_permanent else Action.DEFER
    if monitoring:
        instead = Action.TAG if is_final else Action.ACCEPT
        held_back = _verdict(instead, findings, score, f"monitor:{rule}", config)
        return msgspec.structs.replace(held_back, intended=action)
    return _verdict(action, findings, score, rule, config, reply)


def _first_refusal(findings: Sequence[Finding]) -> Finding | None:
    first: Finding | None = None
    for finding in findings:
        if finding.refuse_with is not None:
            if finding.refuse_with.is_permanent:
                return finding
            first = first or finding
    return first


def _verdict(
    action: Action,
    findings: Sequence[Finding],
    score: float,
    rule: str,
    config: FilterConfig,
    reply: SmtpReply | None = None,
) -> Verdict:
    return Verdict(action, tuple(findings), reply, score, rule=rule, revision=config.revision)
