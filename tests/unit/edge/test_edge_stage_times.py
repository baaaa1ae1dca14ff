"""The times of stages, as Prometheus sees them."""

from prometheus_client import CollectorRegistry

from tripost_edge.stage_times import StageSeconds


def test_a_time_counts_in_each_bucket_that_it_fits_into() -> None:
    """Bounds are inclusive; what is above all of them counts in +Inf alone."""
    registry = CollectorRegistry()
    seconds = StageSeconds(["mail", "data"])
    registry.register(seconds)
    for time in (0.0001, 0.001, 0.3, 61):
        seconds.of["mail"].observe(time)

    def within(bound: str, stage: str = "mail") -> float | None:
        name = "tripost_edge_stage_seconds_bucket"
        return registry.get_sample_value(name, {"stage": stage, "le": bound})

    assert [within(bound) for bound in ("0.0005", "0.001", "0.25", "0.5", "60.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert registry.get_sample_value("tripost_edge_stage_seconds_count", {"stage": "mail"}) == 4
    assert registry.get_sample_value("tripost_edge_stage_seconds_sum", {"stage": "mail"}) == 0.0001 + 0.001 + 0.3 + 61
    assert within("+Inf", stage="data") == 0
