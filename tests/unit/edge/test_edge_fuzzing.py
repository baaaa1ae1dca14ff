"""The targets of `fuzz/` for a moment each, with octets that are near what they read."""

from collections.abc import Iterator

import pytest
from fuzz.targets import CUT, TARGETS
from fuzz.whole_session import Sessions
from fuzz.words import SEEDS, WORDS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st


def octets_for(target: str) -> st.SearchStrategy[bytes]:
    """Make up octets of its words and a few others, cut here and there, or after each octet."""
    word = st.sampled_from([*WORDS[target], *SEEDS.get(target, ()), CUT])
    several = st.lists(word | word | word | st.binary(max_size=4), max_size=24).map(b"".join)
    return several | several.map(lambda octets: CUT.join(octets[at : at + 1] for at in range(min(len(octets), 500))))


def test_every_target_has_words_and_all_words_a_target() -> None:
    assert set(WORDS) == {*TARGETS, "session"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_keeps_its_word(name: str) -> None:
    @settings(max_examples=200, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
    @given(octets_for(name))
    @example(b"")
    def fuzz(octets: bytes) -> None:
        TARGETS[name](octets)

    fuzz()


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    running = Sessions()
    yield running
    running.close()


def test_a_session_takes_anything(sessions: Sessions) -> None:
    """In time, and with memory that is bounded; nothing breaks, and what is spooled is clean."""

    @settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(min_size=1, max_size=1), octets_for("session"))
    def fuzz(listener: bytes, octets: bytes) -> None:
        sessions.run(listener + octets)

    fuzz()


def test_sessions_can_come_to_messages(sessions: Sessions) -> None:
    """Else what is made up here would be lost on a session that ends before it begins."""
    assert [sessions.run(seed) for seed in SEEDS["session"]] == [1, 1, 1, 0, 0]
