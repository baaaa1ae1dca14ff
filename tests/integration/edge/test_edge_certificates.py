"""What clients meet under TLS: the certificate of the name that they ask for, and what their listener speaks."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from certificate_files import CertificateFiles, serial_number
from dialog import Dialog
from edge_world import HOSTNAME, EdgeWorld
from tripost_edge.listeners.certificates import Certificates
from tripost_shared.certificate_renewal import STAYS
from tripost_shared.clock import FrozenClock, SystemClock
from tripost_shared.contracts.listeners import ListenerConfig, TlsMinimum, TlsMode

IMPLICIT = ListenerConfig("submissions", tls=TlsMode.IMPLICIT)


class Shown:
    """An edge with a default pair, a folder of others, and how a client sees it."""

    def __init__(self, tmp_path: Path, authority: trustme.CA) -> None:
        self.folder = tmp_path / "names"
        self.folder.mkdir()
        self._authority = authority
        default = self.pair(HOSTNAME, certificate=tmp_path / "edge.crt", key=tmp_path / "edge.key")
        self.default = default.write()
        self.certificates = Certificates(*default.paths, self.folder, SystemClock())
        self.world = EdgeWorld(self.certificates)

    def pair(self, *names: str, certificate: Path, key: Path) -> CertificateFiles:
        return CertificateFiles(certificate, key, self._authority, *names)

    def named(self, file: str, *names: str) -> CertificateFiles:
        return self.pair(*names, certificate=self.folder / f"{file}.crt", key=self.folder / f"{file}.key")

    async def client(self, name: str = HOSTNAME, **options: object) -> ssl.SSLObject:
        """Connect by TLS; gives what the client knows of it."""
        context = ssl.create_default_context()
        context.check_hostname = False  # which name a certificate has is what the tests look at
        self._authority.configure_trust(context)
        for option, value in options.items():
            setattr(context, option, value)
        address = self.world.addresses["submissions"]
        async with await Dialog.open(address, tls=context, implicit_tls=True, name=name) as client:
            await client("S: 220 *")
            found: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            return found

    async def serial(self, name: str) -> int:
        return serial_number((await self.client(name)).getpeercert(binary_form=True))


@pytest.fixture
async def shown(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Shown]:
    shown = Shown(tmp_path, authority)
    await shown.world.start()
    yield shown
    await shown.world.stop()


async def test_a_certificate_is_chosen_by_name_then_by_wildcard_and_follows_its_files(shown: Shown) -> None:
    exact = shown.named("a", "mail.one.example").write()
    wildcard_files = shown.named("b", "*.one.example", "two.example")
    wildcard = wildcard_files.write(trustme.KeyType.RSA)
    assert await shown.serial("mail.one.example") == shown.default  # before anybody has looked
    shown.certificates.look()
    assert await shown.serial("MAIL.one.example") == exact
    assert await shown.serial("other.one.example") == wildcard
    assert await shown.serial("two.example") == wildcard
    for name in ("a.b.one.example", "one.example", "three.example", "127.0.0.1", HOSTNAME):
        assert await shown.serial(name) == shown.default, name
    renewed = wildcard_files.write()
    for gone in ("a.crt", "a.key"):
        (shown.folder / gone).unlink()
    shown.certificates.look()
    assert await shown.serial("mail.one.example") == renewed
    assert list(shown.certificates.troubles()) == []


async def test_one_file_may_hold_both_and_starttls_chooses_too(
    shown: Shown, client_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    files = shown.pair("one.example", certificate=tmp_path / "x.crt", key=tmp_path / "x.key")
    serial = files.write()
    (shown.folder / "both.pem").write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    (shown.folder / ".hidden.crt").write_text("of an editor")
    shown.certificates.look()
    assert list(shown.certificates.troubles()) == []
    async with await Dialog.open(shown.world.addresses["mx"], tls=client_tls, name="one.example") as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: STARTTLS\nS: 220 *")
        tls = client.writer.get_extra_info("ssl_object")
        assert serial_number(tls.getpeercert(binary_form=True)) == serial


async def test_a_broken_pair_is_told_once_and_leaves_the_one_before_in_force(shown: Shown) -> None:
    files = shown.named("a", "one.example")
    serial = files.write()
    shown.certificates.look()
    files.key.write_text("half of a ke")
    shown.named("without-key", "x.example").write()
    (shown.folder / "without-key.key").unlink()
    with capture_logs() as logs:
        shown.certificates.look()
        shown.certificates.look()
    assert [line["event"] for line in logs] == [STAYS, STAYS]
    first, second = shown.certificates.troubles()
    assert first.startswith(f"{STAYS} ({files.certificate} and {files.key} cannot be used: ")
    assert second.endswith(f"{shown.folder / 'without-key.key'}: No such file or directory)")
    assert await shown.serial("one.example") == serial
    mended = files.write()
    shown.named("without-key", "x.example").write()
    shown.certificates.look()
    assert list(shown.certificates.troubles()) == []
    assert await shown.serial("one.example") == mended


async def test_a_certificate_that_cannot_be_understood_is_told_and_the_others_are_followed(shown: Shown) -> None:
    odd = shown.named("odd", "odd.example")
    odd.write()
    other = shown.named("other", "other.example")
    der = ssl.PEM_cert_to_DER_cert(odd.certificate.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n")
    version_3, version_4 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"
    odd.certificate.write_text(ssl.DER_cert_to_PEM_cert(der.replace(version_3, version_4, 1)))
    serial = other.write()
    shown.certificates.look()
    (trouble,) = shown.certificates.troubles()
    assert trouble.startswith(f"{STAYS} ({odd.certificate} and {odd.key} cannot be used: not to be read: ")
    assert await shown.serial("other.example") == serial


async def test_a_certificate_that_ends_within_two_weeks_is_a_trouble(tmp_path: Path, authority: trustme.CA) -> None:
    clock = FrozenClock(SystemClock().now())
    issued = authority.issue_cert(HOSTNAME, not_after=clock.now() + timedelta(days=15))
    certificate, key = tmp_path / "edge.crt", tmp_path / "edge.key"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    certificates = Certificates(certificate, key, tmp_path / "none", clock)
    assert list(certificates.troubles()) == []
    clock.advance(timedelta(days=1, seconds=1))
    (trouble,) = certificates.troubles()
    assert trouble.startswith(f"TLS certificate {certificate} ends on ")


async def test_what_is_older_than_the_floor_is_refused_and_sessions_of_before_go_on(
    shown: Shown, client_tls: ssl.SSLContext
) -> None:
    assert (await shown.client()).version() == "TLSv1.3"
    assert (await shown.client(maximum_version=ssl.TLSVersion.TLSv1_2)).version() == "TLSv1.2"
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    address = shown.world.addresses["submissions"]
    async with await Dialog.open(address, tls=old, implicit_tls=True) as before:
        await before("S: 220 *")
        floor = ListenerConfig("submissions", tls=TlsMode.IMPLICIT, tls_minimum=TlsMinimum.TLS_1_3)
        await shown.world.configure(floor)
        with refused_for("UNSUPPORTED_PROTOCOL"):
            await shown.client(maximum_version=ssl.TLSVersion.TLSv1_2)
        assert (await shown.client()).version() == "TLSv1.3"
        await before("C: EHLO c\nS: 250 *")


async def test_ciphers_are_those_of_the_listener_whichever_certificate_is_shown(shown: Shown) -> None:
    shown.named("a", "one.example").write()
    shown.certificates.look()
    only = "ECDHE-ECDSA-CHACHA20-POLY1305"
    await shown.world.configure(ListenerConfig("submissions", tls=TlsMode.IMPLICIT, ciphers=(only, "NO-SUCH")))
    for name in (HOSTNAME, "one.example"):
        tls = await shown.client(name, maximum_version=ssl.TLSVersion.TLSv1_2)
        cipher = tls.cipher()
        assert cipher is not None
        assert cipher[0] == only
    await shown.world.configure(IMPLICIT)
    weak = ssl.create_default_context()
    weak.check_hostname, weak.verify_mode, weak.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    with refused_for("NO_SHARED_CIPHER"):
        await Dialog.open(shown.world.addresses["submissions"], tls=weak, implicit_tls=True)


@contextmanager
def refused_for(reason: str) -> Iterator[None]:
    """Edge ends the handshake within, for that reason."""
    with capture_logs() as logs, pytest.raises((ssl.SSLError, ConnectionError)):
        yield
    (failed,) = (line["because"] for line in logs if line["event"] == "TLS handshake failed")
    assert reason in failed
