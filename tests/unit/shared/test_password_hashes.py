"""Passwords as the database keeps them."""

from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from tripost_shared.database.password_hashes import PasswordHashes, prepared

COMPOSED = "caf\u00e9 au lait"
DECOMPOSED = "cafe\u0301 au lait"


def test_a_hash_is_argon2id_at_owasps_cost_or_above() -> None:
    """19 MiB and two passes, or more."""
    parameters = extract_parameters(PasswordHashes().make("correct horse"))
    assert parameters.type is Type.ID
    assert (parameters.memory_cost >= 19_456, parameters.time_cost >= 2) == (True, True)


def test_a_hash_matches_its_password_alone() -> None:
    hashes = PasswordHashes()
    made = hashes.make("correct \udc80 horse")
    assert made != hashes.make("correct \udc80 horse")
    assert hashes.match("correct \udc80 horse", made)
    assert not hashes.match("correct horse", made)
    assert not hashes.match("correct horse", None)
    assert not hashes.match("correct horse", "no hash at all")


class CountingHasher(PasswordHasher):
    """Cheap; counts its comparisons, which are what takes time."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.compared = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        self.compared += 1
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.mark.parametrize(
    ("made_from", "given"),
    [
        pytest.param(COMPOSED, DECOMPOSED, id="NFC, then NFD"),
        pytest.param(DECOMPOSED, COMPOSED, id="NFD, then NFC"),
        pytest.param("correct\u00a0horse", "correct horse", id="no-break space"),
        pytest.param("correct horse", "correct\u3000horse", id="ideographic space"),
    ],
)
def test_equal_passwords_match_however_they_are_spelled(hasher: CountingHasher, made_from: str, given: str) -> None:
    """OpaqueString (RFC 8265 §4.2.2)."""
    hashes = PasswordHashes(hasher)
    assert hashes.match(given, hashes.make(made_from))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Caf\u00e9", "caf\u00e9", id="case"),
        pytest.param("\uff43afe", "cafe", id="width"),
        pytest.param("\ufb01sh", "fish", id="ligature"),
        pytest.param("cafe", "caf\u00e9", id="accent"),
        pytest.param("correct  horse", "correct\u00a0horse", id="number of spaces"),
    ],
)
def test_what_only_looks_alike_stays_different(hasher: CountingHasher, one: str, other: str) -> None:
    hashes = PasswordHashes(hasher)
    assert not hashes.match(other, hashes.make(one))


def test_a_hash_of_the_octets_that_were_given_still_matches_them(hasher: CountingHasher) -> None:
    """As hashes were made once."""
    old = hasher.hash(DECOMPOSED.encode())
    assert PasswordHashes(hasher).match(DECOMPOSED, old)
    assert not PasswordHashes(hasher).match("cafe\u0301 au lai", old)


@pytest.mark.parametrize(("wrong", "comparisons"), [("wrong", 1), (COMPOSED, 1), (DECOMPOSED, 2)])
def test_the_time_does_not_tell_whether_there_is_an_account(
    hasher: CountingHasher, wrong: str, comparisons: int
) -> None:
    hashes = PasswordHashes(hasher)
    for account in (hashes.make("correct horse"), None):
        hasher.compared = 0
        assert not hashes.match(wrong, account)
        assert hasher.compared == comparisons


def test_an_empty_password_is_none(hasher: CountingHasher) -> None:
    """Not even where a hash has been made of it (RFC 8265 §4.2.2)."""
    hashes = PasswordHashes(hasher)
    with pytest.raises(ValueError, match="empty"):
        hashes.make("")
    assert not hashes.match("", hasher.hash(b""))


def test_what_is_no_text_is_prepared_too() -> None:
    assert prepared("\udc80\u2003e\u0301") == "\udc80 \u00e9"
