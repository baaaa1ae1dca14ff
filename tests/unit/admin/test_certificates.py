"""The certificate of a first start is one that strict clients take, and its key is private."""

import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tripost_shared.certificates import ensure_self_signed, local_names, make_self_signed


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "tls" / "admin.crt", tmp_path / "tls" / "admin.key"
    make_self_signed(certificate, key, ["localhost", "127.0.0.1", "::1"])
    return certificate, key


def handshake(pair: tuple[Path, Path], server_name: str) -> str:
    """Shake hands over memory, the certificate being all that the client trusts."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*pair)
    client_side = ssl.create_default_context(cafile=str(pair[0]))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=server_name)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version() or ""


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_pins_it_accepts_each_of_its_names(pair: tuple[Path, Path], name: str) -> None:
    assert handshake(pair, name) == "TLSv1.3"


def test_another_name_is_not_accepted(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pair, "mail.example")


def test_only_the_owner_can_read_the_key(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    assert key.stat().st_mode & 0o777 == 0o600
    assert certificate.stat().st_mode & 0o777 == 0o644
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in key.parent.iterdir()) == ["admin.crt", "admin.key"]


def test_making_it_again_replaces_both(pair: tuple[Path, Path]) -> None:
    before = pair[0].read_bytes()
    make_self_signed(*pair, ["localhost"])
    assert pair[0].read_bytes() != before
    assert handshake(pair, "localhost") == "TLSv1.3"


def test_a_good_pair_is_kept(pair: tuple[Path, Path]) -> None:
    before = pair[0].read_bytes()
    assert not ensure_self_signed(*pair, ["localhost"])
    assert pair[0].read_bytes() == before


@pytest.mark.parametrize("damage", ["certificate missing", "key missing", "no certificate in the file", "ends soon"])
def test_a_pair_that_is_of_no_use_is_made_anew(
    pair: tuple[Path, Path], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "certificate missing":
        pair[0].unlink()
    elif damage == "key missing":
        pair[1].unlink()
    elif damage == "no certificate in the file":
        pair[0].write_text("nothing of use\n")
    else:
        monkeypatch.setattr("tripost_shared.certificates.RENEW_BEFORE", timedelta(days=900))
    assert ensure_self_signed(*pair, ["localhost"])
    assert handshake(pair, "localhost") == "TLSv1.3"


def test_this_machine_has_names() -> None:
    assert {"localhost", "127.0.0.1", "::1"} <= set(local_names())


def test_a_reader_never_sees_half_a_certificate(tmp_path: Path) -> None:
    """Another process may look while it is being made anew."""
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"
    make_self_signed(certificate, key, ["localhost"])
    maker = threading.Thread(target=lambda: [make_self_signed(certificate, key, ["localhost"]) for _ in range(20)])
    maker.start()
    while maker.is_alive():
        assert certificate.read_text().endswith("-----END CERTIFICATE-----\n")
    maker.join()
