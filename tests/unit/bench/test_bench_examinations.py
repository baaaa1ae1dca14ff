"""Whether each check examined every message is told by the filter itself."""

from bench import examinations

METRICS = """\
# HELP tripost_filter_findings_total Findings, by check and result.
# TYPE tripost_filter_findings_total counter
tripost_filter_findings_total{check="spf",result="pass"} 7.0
tripost_filter_findings_total{check="spf",result="temperror"} 1.0
tripost_filter_findings_total{check="dnsbl",result="not listed"} 8.0
tripost_filter_findings_total{check="header",result="good"} 8.0
# HELP tripost_filter_degraded_total Findings of checks that could not do their work.
# TYPE tripost_filter_degraded_total counter
tripost_filter_degraded_total{check="spf"} 1.0
"""


def test_findings_of_all_results_count() -> None:
    assert examinations.counted(METRICS) == {"spf": 8, "dkim": 0, "dnsbl": 8, "greylist": 0}


def test_a_check_that_did_not_examine_every_message_is_a_fault() -> None:
    before = {"spf": 200, "dnsbl": 200}
    after = {"spf": 1200, "dnsbl": 217}
    examined = examinations.since(before, after)
    assert examined == {"spf": 1000, "dnsbl": 17}
    assert examinations.faults(examined, 1000) == ("the check dnsbl examined 17 times for 1000 messages",)
