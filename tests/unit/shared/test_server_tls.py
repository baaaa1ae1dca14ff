"""A certificate and its key, as edge and admin-api load them."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tripost_admin_api.adapters.https_server import tls_context
from tripost_edge.listeners.certificates import Certificates
from tripost_edge.listeners.tls import TlsPolicy
from tripost_shared.certificates import make_self_signed
from tripost_shared.clock import SystemClock
from tripost_shared.settings import SettingsError

Load = Callable[[Path, Path], ssl.SSLContext]


def edges_context(certificate: Path, key: Path) -> ssl.SSLContext:
    return Certificates(certificate, key, certificate.parent / "names", SystemClock()).context(TlsPolicy())


@pytest.fixture(
    params=[pytest.param((edges_context, "EDGE"), id="edge"), pytest.param((tls_context, "ADMIN"), id="admin-api")]
)
def service(request: pytest.FixtureRequest) -> tuple[Load, str]:
    """How a service loads them, and what its settings are called after."""
    load, name = request.param
    return load, f"TRIPOST_{name}_"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "own.crt", tmp_path / "own.key"
    make_self_signed(*made, ["localhost"])
    return made


def test_a_pair_is_loaded_for_tls_1_2_and_newer(service: tuple[Load, str], files: tuple[Path, Path]) -> None:
    load, _ = service
    assert load(*files).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(
    service: tuple[Load, str], files: tuple[Path, Path]
) -> None:
    load, prefix = service
    certificate, key = files
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"hunter2")
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(SettingsError, match=f"^{prefix}KEY: {key} has a pass phrase"):
        load(certificate, key)


@pytest.mark.parametrize("damage", ["a key of another pair", "no key in it", "no file"])
def test_a_pair_that_is_none_is_told_by_both_settings(
    service: tuple[Load, str], files: tuple[Path, Path], damage: str
) -> None:
    load, prefix = service
    certificate, key = files
    if damage == "a key of another pair":
        make_self_signed(certificate.with_suffix(".other"), key, ["localhost"])
    elif damage == "no key in it":
        key.write_text("half of a ke")
    else:
        key.unlink()
    with pytest.raises(SettingsError, match=f"^{prefix}CERTIFICATE, {prefix}KEY: {certificate} and {key} cannot be"):
        load(certificate, key)
