"""What Prometheus is told."""

from prometheus_client import REGISTRY

from tripost_filter.metrics import MAX_RESULTS, count_verdict, metrics_of
from tripost_shared.contracts.filter import Action, Finding


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tripost_filter_{name}", labels)


def test_findings_are_counted_by_check_and_result_with_the_time_they_took() -> None:
    metrics = metrics_of("exposed")
    metrics.count(Finding("exposed", "pass"), 0.0001)
    metrics.count(Finding("exposed", "pass"), 0.0002)
    metrics.count(Finding("exposed", "error", degraded=True), 20.0)
    metrics.count(None, 30.0)
    assert sample("findings_total", check="exposed", result="pass") == 2
    assert sample("degraded_total", check="exposed") == 1
    assert sample("check_seconds_bucket", check="exposed", le="0.0001") == 1
    assert sample("check_seconds_bucket", check="exposed", le="10.0") == 2
    assert sample("check_seconds_bucket", check="exposed", le="+Inf") == sample("check_seconds_count", check="exposed")
    assert sample("check_seconds_count", check="exposed") == 3
    assert sample("check_seconds_sum", check="exposed") == 20.0003


def test_counts_go_on_when_a_configuration_builds_the_checks_anew() -> None:
    assert metrics_of("kept") is metrics_of("kept")


def test_the_number_of_results_that_are_counted_apart_is_bounded() -> None:
    metrics = metrics_of("bounded")
    for number in range(MAX_RESULTS + 10):
        metrics.count(Finding("bounded", f"result {number}"), 0.001)
    assert len(metrics.results) == MAX_RESULTS + 1
    assert sample("findings_total", check="bounded", result="other") == 10


def test_verdicts_are_counted_by_question_and_action() -> None:
    before = sample("verdicts_total", question="message", action="tag") or 0
    count_verdict("message", Action.TAG)
    assert sample("verdicts_total", question="message", action="tag") == before + 1
