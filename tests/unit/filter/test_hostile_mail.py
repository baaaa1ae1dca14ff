"""Content that someone made up to break a check, or to keep it busy."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tripost_filter.checks.patterns import EICAR, GTUBE
from tripost_shared.clock import SystemClock
from tripost_shared.contracts.filter import Verdict
from unit.filter.court import Court
from unit.filter.mails import LETTER
from unit.filter.signing import signed

SIGNATURE = signed(LETTER).removesuffix(LETTER)
pieces = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b"\0",
        b"\xff\xfe",
        b":",
        b";",
        b"=",
        b"From: a@sender.example\r\n",
        b"Date: now\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; b=; bh=",
        b"; d=sender.example; s=sel; h=from; l=3",
        b"\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        EICAR[:40],
        EICAR[40:],
        GTUBE,
        SIGNATURE,
        LETTER,
    ]
) | st.binary(max_size=20)
messages = st.lists(pieces, max_size=12).map(b"".join)


def facts(verdict: Verdict) -> list[object]:
    return [(finding.check, finding.result, finding.score, finding.evidence) for finding in verdict.findings]


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages, st.integers(1, 200))
async def test_any_octets_have_a_verdict_the_same_inline_and_in_chunks(octets: bytes, chunk_octets: int) -> None:
    court = Court()
    court.store.chunk_octets = chunk_octets
    verdict = await court.message(octets)
    assert "error" not in {finding.result for finding in verdict.findings}
    assert facts(await court.message(court.store.put("same", octets))) == facts(verdict)
    verdict.header_fields.decode("ascii")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"X: y\r\n" * 100_000 + b"\r\nbody\r\n", id="100,000 fields"),
        pytest.param(b"X: " + b"y" * 1_000_000 + b"\r\n\r\nbody\r\n", id="a field of a megabyte"),
        pytest.param(b"From: a" + b"\r\n y" * 60_000 + b"\r\n\r\nbody\r\n", id="a field of 60,000 lines"),
        pytest.param(SIGNATURE * 900 + LETTER, id="900 signatures"),
        pytest.param(
            SIGNATURE * 8 + b"Subject:" + b" x" * 100_000 + b"\r\n" + LETTER, id="a long field signed 8 times"
        ),
        pytest.param(LETTER + b"base64" * 200_000, id="much talk of base64"),
        pytest.param(LETTER + b"\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--" * 20_000, id="20,000 parts"),
        pytest.param(signed(LETTER) + b" \t" * 500_000, id="a megabyte of white space"),
        pytest.param(signed(LETTER) + b"\r\n" * 500_000 + b"x", id="500,000 empty lines"),
        pytest.param(signed(LETTER) + b"\n\r" * 500_000, id="a megabyte of bare line ends"),
    ],
)
async def test_work_is_linear_at_worst(octets: bytes) -> None:
    """It takes some 5 to 50 ms; what grows with the square takes minutes."""
    court, clock = Court(), SystemClock()
    began = clock.monotonic()
    inline, stored = await court.message(octets), await court.message(court.store.put("same", octets))
    assert clock.monotonic() - began < 5
    assert facts(inline) == facts(stored)
