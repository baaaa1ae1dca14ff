"""What is kept of passwords for SCRAM and CRAM-MD5, and how it is sealed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.logins.app_passwords import app_password_digest, new_app_password
from tripost_shared.logins.saslprep import NotPreparable, saslprep
from tripost_shared.logins.scram import HASHES, ScramSecret, derive
from tripost_shared.logins.sealing import Binding, LoginKey, NotOpened
from tripost_shared.logins.secrets import sealed_secrets
from tripost_shared.settings import SettingsError

KEY = LoginKey(bytes(range(32)))
OTHER_KEY = LoginKey(bytes(32))
ANN = "ann@dest.example"
CRAM = Binding("CRAM-MD5", ANN, "hash")


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        pytest.param("I\u00adX", "IX", id="RFC 4013 §3: a soft hyphen is nothing"),
        pytest.param("user", "user", id="RFC 4013 §3: unchanged"),
        pytest.param("USER", "USER", id="RFC 4013 §3: case is kept"),
        pytest.param("\u00aa", "a", id="RFC 4013 §3: NFKC"),
        pytest.param("\u2168", "IX", id="RFC 4013 §3: NFKC of one that is several"),
        pytest.param("a\u00a0b", "a b", id="any space is a space"),
        pytest.param("\u0627\u0628", "\u0627\u0628", id="from right to left"),
    ],
)
def test_saslprep_is_rfc_4013_s(given: str, prepared: str) -> None:
    assert saslprep(given) == prepared


@pytest.mark.parametrize("given", ["\u0007", "\u06271", "\ue000"], ids=["control", "RFC 4013 §3: bidi", "private"])
def test_saslprep_refuses_what_the_profile_forbids(given: str) -> None:
    with pytest.raises(NotPreparable):
        saslprep(given)


def test_a_password_that_saslprep_forbids_is_hashed_as_it_is() -> None:
    assert derive("a\u0007", "sha256", bytes(16), 1) == derive("a\u0007", "sha256", bytes(16), 1)
    assert derive("a\u0007", "sha256", bytes(16), 1) != derive("a", "sha256", bytes(16), 1)


def test_a_new_secret_has_a_salt_of_its_own_and_survives_being_stored() -> None:
    for hash_name in HASHES.values():
        first, second = derive("pencil", hash_name), derive("pencil", hash_name)
        assert first.salt != second.salt
        assert ScramSecret.from_octets(first.to_octets(), hash_name) == first
        with pytest.raises(ValueError, match="no SCRAM secret"):
            ScramSecret.from_octets(first.to_octets()[:-1], hash_name)


def test_the_secrets_that_are_made_are_those_of_the_mechanisms_that_need_one() -> None:
    made = sealed_secrets(
        KEY, "pencil", "hash", ANN, [Mechanism.PLAIN, Mechanism.CRAM_MD5, Mechanism.SCRAM_SHA_1, "X-OTHER"]
    )
    assert set(made) == {Mechanism.CRAM_MD5, Mechanism.SCRAM_SHA_1}
    assert KEY.open(made[Mechanism.CRAM_MD5], CRAM) == b"pencil"
    secret = ScramSecret.from_octets(
        KEY.open(made[Mechanism.SCRAM_SHA_1], CRAM._replace(mechanism="SCRAM-SHA-1")), "sha1"
    )
    assert secret == derive("pencil", "sha1", secret.salt)


def test_what_is_sealed_tells_nothing_and_is_never_the_same_twice() -> None:
    first, second = KEY.seal(b"pencil", CRAM), KEY.seal(b"pencil", CRAM)
    assert first != second
    assert b"pencil" not in first


@pytest.mark.parametrize(
    ("key", "binding"),
    [
        pytest.param(OTHER_KEY, CRAM, id="another key"),
        pytest.param(KEY, CRAM._replace(mechanism="SCRAM-SHA-1"), id="another mechanism"),
        pytest.param(KEY, CRAM._replace(address="eve@dest.example"), id="another mailbox"),
        pytest.param(KEY, CRAM._replace(password_hash="another"), id="another password"),
    ],
)
def test_what_is_sealed_opens_for_its_own_purpose_alone(key: LoginKey, binding: Binding) -> None:
    sealed = KEY.seal(b"pencil", CRAM)
    with pytest.raises(NotOpened):
        key.open(sealed, binding)


@pytest.mark.parametrize("damage", [lambda octets: octets[:-1], lambda octets: b"\x02" + octets[1:], lambda _: b""])
def test_what_is_damaged_does_not_open(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(NotOpened):
        KEY.open(damage(KEY.seal(b"pencil", CRAM)), CRAM)


def test_a_digest_is_the_same_for_the_same_texts_under_the_same_key_alone() -> None:
    assert KEY.digest("salt", ANN) == KEY.digest("salt", ANN)
    assert len({KEY.digest("salt", ANN), KEY.digest("salt" + ANN), OTHER_KEY.digest("salt", ANN)}) == 3


def test_the_key_s_file_is_64_hexadecimal_digits(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(bytes(range(32)).hex() + "\n")
    assert LoginKey.read(path).open(KEY.seal(b"x", CRAM), CRAM) == b"x"
    path.write_text("secret-of-the-operator")
    with pytest.raises(SettingsError, match=r"TRIPOST_DATABASE_KEY_FILE: .* 64 hexadecimal digits") as refused:
        LoginKey.read(path)
    assert "secret-of-the-operator" not in str(refused.value)
    with pytest.raises(SettingsError, match="No such file"):
        LoginKey.read(tmp_path / "none")


def test_an_app_password_has_at_least_100_random_bits_and_is_kept_as_a_digest() -> None:
    made = {new_app_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(password.replace("-", "")) * 4.95 >= 100 for password in made)
    assert app_password_digest("abcd") != app_password_digest("abce")
    assert "abcd" not in app_password_digest("abcd")
