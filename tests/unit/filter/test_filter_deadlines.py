"""The figures by which a question is answered before edge asks another replica too."""

from typing import Any

import pytest
from pydantic import ValidationError

from tripost_filter.check import Stage
from tripost_filter.deadlines import LONGEST_CONTENT_WAIT_SECONDS, LOOK_UPS_WITHIN_SECONDS, seconds_for
from tripost_filter.registry import build_checks
from tripost_filter.settings import FilterSettings
from tripost_shared.contracts.config import FilterConfig
from tripost_shared.contracts.filter import CONNECTION, MESSAGE, RECIPIENTS
from tripost_shared.contracts.subject import Subject
from unit.filter.court import Court

STAGES = [
    pytest.param(CONNECTION, [Stage.CONNECTION], 0, id="client"),
    pytest.param(RECIPIENTS, [Stage.SENDER, Stage.RECIPIENT], 0, id="recipients"),
    pytest.param(RECIPIENTS, [Stage.CONNECTION, Stage.RECIPIENT], 0, id="client and recipients"),
    pytest.param(MESSAGE, [Stage.MESSAGE, Stage.CONCLUSION], LONGEST_CONTENT_WAIT_SECONDS, id="message"),
]


@pytest.mark.parametrize("subject", [CONNECTION, RECIPIENTS, MESSAGE], ids=lambda subject: subject.name)
def test_a_question_ends_before_another_replica_is_asked_and_that_one_may_end_too(subject: Subject[Any, Any]) -> None:
    assert LOOK_UPS_WITHIN_SECONDS < seconds_for(subject) <= subject.try_after.total_seconds() - 0.2
    assert subject.try_after.total_seconds() + seconds_for(subject) <= subject.deadline.total_seconds()


@pytest.mark.parametrize(("subject", "stages", "waited_seconds"), STAGES)
def test_no_check_of_the_defaults_is_cut_short(
    subject: Subject[Any, Any], stages: list[Stage], waited_seconds: float
) -> None:
    checks = build_checks(FilterConfig(), Court().around)
    budgets_ms = [
        max((p.time_budget_ms for check, p in checks if stage in check.stages), default=0) for stage in stages
    ]
    assert waited_seconds + sum(budgets_ms) / 1000 <= seconds_for(subject)


def test_no_setting_makes_content_wait_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_FILTER_CONTENT_TIMEOUT_SECONDS", str(LONGEST_CONTENT_WAIT_SECONDS + 1))
    with pytest.raises(ValidationError, match="less than or equal to 25"):
        FilterSettings()
