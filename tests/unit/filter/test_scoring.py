"""From findings to a verdict."""

import pytest

from tripost_filter.scoring import REFUSED_BY_SCORE, decide
from tripost_shared.contracts.config import FilterConfig, PolicyMode
from tripost_shared.contracts.filter import Action, Finding
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

ENFORCE = FilterConfig(revision=7, reject_score=15, tag_score=6)
MONITOR = FilterConfig(mode=PolicyMode.MONITOR, reject_score=15, tag_score=6)
LISTED = SmtpReply(554, "5.7.1", "listed")

fine = Finding("spf", "pass")
suspicious = Finding("headers", "flawed", 6.0)
spam = Finding("patterns", "spam", 15.0)
listed = Finding("dnsbl", "listed", 4.0, refuse_with=LISTED)
new = Finding("greylist", "new", refuse_with=TRY_LATER)


@pytest.mark.parametrize(
    ("findings", "action", "rule", "reply"),
    [
        pytest.param([], Action.ACCEPT, "", None, id="nothing found"),
        pytest.param([fine], Action.ACCEPT, "", None, id="fine"),
        pytest.param([suspicious], Action.TAG, "tag_score", None, id="tagged by score"),
        pytest.param([spam], Action.REJECT, "reject_score", REFUSED_BY_SCORE, id="refused by score"),
        pytest.param([listed], Action.REJECT, "dnsbl", LISTED, id="refused by a check"),
        pytest.param([new], Action.DEFER, "greylist", TRY_LATER, id="deferred by a check"),
        pytest.param([new, listed], Action.REJECT, "dnsbl", LISTED, id="5yz before 4yz"),
        pytest.param([new, spam], Action.DEFER, "greylist", TRY_LATER, id="a check before the score"),
    ],
)
def test_enforcing(findings: list[Finding], action: Action, rule: str, reply: SmtpReply | None) -> None:
    verdict = decide(findings, ENFORCE, is_final=True)
    assert (verdict.action, verdict.rule, verdict.reply) == (action, rule, reply)
    assert (verdict.findings, verdict.revision) == (tuple(findings), 7)


@pytest.mark.parametrize(
    ("findings", "action", "rule", "intended"),
    [
        pytest.param([fine], Action.ACCEPT, "", None, id="fine"),
        pytest.param([suspicious], Action.TAG, "tag_score", None, id="would be tagged"),
        pytest.param([spam], Action.TAG, "monitor:reject_score", Action.REJECT, id="would be refused by score"),
        pytest.param([listed], Action.TAG, "monitor:dnsbl", Action.REJECT, id="would be refused by a check"),
    ],
)
def test_monitoring_refuses_nothing_and_tags_all_of_it(
    findings: list[Finding], action: Action, rule: str, intended: Action | None
) -> None:
    verdict = decide(findings, MONITOR, is_final=True)
    assert (verdict.action, verdict.rule, verdict.reply, verdict.intended) == (action, rule, None, intended)


def test_monitoring_tags_for_what_earlier_stages_would_have_refused() -> None:
    verdict = decide([fine], MONITOR, earlier=[listed], is_final=True)
    assert (verdict.action, verdict.rule) == (Action.TAG, "monitor:dnsbl")


def test_before_the_content_there_is_nothing_to_tag() -> None:
    assert decide([suspicious], ENFORCE).action is Action.ACCEPT
    assert decide([listed], MONITOR).action is Action.ACCEPT


def test_scores_of_earlier_stages_count() -> None:
    verdict = decide([suspicious], ENFORCE, earlier=[Finding("dnsbl", "listed", 9.0)], is_final=True)
    assert (verdict.action, verdict.rule, verdict.score) == (Action.REJECT, "reject_score", 15.0)


def test_what_an_earlier_stage_asked_for_is_not_asked_again() -> None:
    """Another recipient of the message was greylisted; this one was not, and its message comes."""
    assert decide([fine], ENFORCE, earlier=[new], is_final=True).action is Action.ACCEPT


def test_scores_are_rounded_so_that_thresholds_mean_what_they_say() -> None:
    thirds = [Finding(name, "x", 0.1) for name in "abc"]
    assert decide(thirds, FilterConfig(tag_score=0.3), is_final=True).action is Action.TAG
