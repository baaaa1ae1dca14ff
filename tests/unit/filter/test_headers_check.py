"""The check of the header's sanity (RFC 5322 §3.6)."""

import pytest

from tripost_filter.checks.headers import HEADER_TOO_LARGE, Headers
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.client import Client
from unit.filter.mails import LETTER, LOGGED_IN, STRANGER, a_mail


@pytest.mark.parametrize(
    ("octets", "flaws"),
    [
        pytest.param(LETTER, [], id="as it should be"),
        pytest.param(LETTER.replace(b"From:", b"X-From:"), ["no From"], id="no From"),
        pytest.param(b"From: eve@other.example\r\n" + LETTER, ["several From"], id="two From"),
        pytest.param(LETTER.replace(b"Date:", b"X-Date:"), ["no Date"], id="no Date"),
        pytest.param(b"Subject: a\r\nsubject: b\r\n" + LETTER, ["repeated fields"], id="three Subject"),
        pytest.param(b"not a field\r\n" + LETTER, ["malformed fields"], id="a line that is no field"),
        pytest.param(b"hello\r\n", ["malformed fields", "no Date", "no From"], id="no header at all"),
        pytest.param(b"", ["no Date", "no From"], id="empty message"),
    ],
)
def test_flaws(octets: bytes, flaws: list[str]) -> None:
    finding = Headers().examine_at_once(a_mail(octets=octets))
    assert finding is not None
    assert sorted(finding.evidence) == flaws
    assert (finding.result, finding.score > 0) == (("flawed", True) if flaws else ("pass", False))


def test_all_flaws_together_score_less_than_any_threshold_for_refusal() -> None:
    octets = b"junk\r\nFrom: a@a.example\r\nFrom: b@b.example\r\nTo: c\r\nTo: d\r\n\r\n"
    finding = Headers().examine_at_once(a_mail(octets=octets))
    assert finding is not None
    assert 0 < finding.score <= 6
    assert finding.refuse_with is None


@pytest.mark.parametrize("client", [STRANGER, LOGGED_IN])
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"X: y\r\n" * 1000 + LETTER, id="too many fields"),
        pytest.param(LETTER.replace(b"hello", b"x" * 300_000), id="too many octets"),
    ],
)
def test_a_header_beyond_all_bounds_is_refused_whoever_sends_it(octets: bytes, client: Client) -> None:
    finding = Headers().examine_at_once(a_mail(client, octets=octets))
    assert finding is not None
    assert (finding.result, finding.refuse_with) == ("too large", HEADER_TOO_LARGE)


def test_our_own_clients_are_not_examined() -> None:
    assert Headers().examine_at_once(a_mail(LOGGED_IN, octets=b"")) is None


async def test_waiting_changes_nothing() -> None:
    assert await Headers().examine(a_mail(octets=LETTER)) == Finding("headers", "pass")
