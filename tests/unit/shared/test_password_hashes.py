"""Passwords as the database keeps them."""

from argon2 import extract_parameters
from argon2.low_level import Type

from tripost_shared.database.password_hashes import PasswordHashes


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
