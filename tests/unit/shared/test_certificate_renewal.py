"""A renewed certificate is served without a restart: real handshakes, in memory."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from certificate_files import CertificateFiles, serial_number
from tripost_shared import certificate_renewal
from tripost_shared.certificate_renewal import STAYS, Renewal
from tripost_shared.settings import SettingsError

HOSTNAME = "mail.example"
PROTOCOL = "of-the-tests/1"


def load(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make a context as a service does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([PROTOCOL])
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # of which ssl.SSLError is one
        raise SettingsError(str(error)) from error
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    return CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key", authority, HOSTNAME)


def served(server: ssl.SSLContext, authority: trustme.CA, name: str | None = HOSTNAME) -> int:
    """Shake hands as a client; gives the serial number of the certificate that it meets."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = name is not None
    trusting.set_alpn_protocols([PROTOCOL])
    authority.configure_trust(trusting)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname=name)
    sides = [client, server.wrap_bio(there, back, server_side=True)]
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    assert client.selected_alpn_protocol() == PROTOCOL
    return serial_number(client.getpeercert(binary_form=True))


@pytest.mark.parametrize("name", [HOSTNAME, None], ids=["by its name", "by no name"])
@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
def test_a_renewed_pair_is_served_and_nothing_of_the_old_one(
    files: CertificateFiles, authority: trustme.CA, kind: trustme.KeyType, name: str | None
) -> None:
    """Its key may be of another kind: a context with both would go on with the old one."""
    first = files.write(kind)
    context = load(*files.paths)
    renewal = Renewal(context, *files.paths, load)
    assert served(context, authority, name) == first
    for next_kind in (trustme.KeyType.ECDSA, trustme.KeyType.RSA):
        serial = files.write(next_kind)
        renewal.look()
        assert served(context, authority, name) == serial


def test_a_pair_that_cannot_be_loaded_changes_nothing_and_is_told_once(
    files: CertificateFiles, authority: trustme.CA
) -> None:
    first = files.write()
    context = load(*files.paths)
    renewal = Renewal(context, *files.paths, load)
    key = files.key.read_bytes()
    second = files.write()
    new_key = files.key.read_bytes()
    assert renewal.trouble == ""
    with capture_logs() as logs:
        for octets in (key, key, new_key[:100], new_key[:100]):
            files.key.write_bytes(octets)
            renewal.look()
            assert served(context, authority) == first
            assert renewal.trouble.startswith(f"{STAYS} (")
        files.key.unlink()
        renewal.look()
        assert served(context, authority) == first
        assert "No such file" in renewal.trouble
        files.key.write_bytes(new_key)
        renewal.look()
        renewal.look()
    assert served(context, authority) == second
    assert renewal.trouble == ""
    assert [line["event"] for line in logs] == [STAYS, STAYS, STAYS, "TLS certificate loaded anew"]


def test_a_pair_that_was_away_for_a_moment_is_no_trouble_any_more(files: CertificateFiles) -> None:
    files.write()
    renewal = Renewal(load(*files.paths), *files.paths, load)
    aside = files.key.rename(files.key.with_suffix(".aside"))
    renewal.look()
    assert renewal.trouble
    aside.rename(files.key)
    renewal.look()
    assert renewal.trouble == ""


async def test_it_looks_again_and_again_and_says_when_it_cannot(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What root may read is unreadable once root is given up."""
    files.write()
    context = load(*files.paths)
    renewal = Renewal(context, *files.paths, load)
    monkeypatch.setattr(certificate_renewal, "LOOK_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(os, "access", lambda path, mode: path != files.key)
    with capture_logs() as logs:
        following = asyncio.create_task(renewal.follow())
        await asyncio.sleep(0)
        files.key.unlink()  # as good as in a folder that only root may enter
        renewal.look()
        assert renewal.trouble == ""
        files.write()
        async with asyncio.timeout(5):
            while context.sni_callback is None:  # noqa: ASYNC110 (a context tells nobody that it has changed)
                await asyncio.sleep(0.001)
        following.cancel()
    assert logs[0]["files"] == [str(files.key)]
    assert [line["event"] for line in logs[1:]] == ["TLS certificate loaded anew"]
