"""Edge serves a renewed certificate without a restart, and its status tells of one that it cannot load."""

import ssl
from pathlib import Path

import pytest
import trustme

from certificate_files import CertificateFiles, serial_number
from edge_world import HOSTNAME, EdgeWorld
from tripost_edge.app import EdgeService
from tripost_edge.listeners.certificates import Certificates
from tripost_shared.certificate_renewal import STAYS
from tripost_shared.clock import SystemClock
from tripost_shared.settings import CommonSettings


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    return CertificateFiles(tmp_path / "edge.crt", tmp_path / "edge.key", authority, HOSTNAME)


async def served(world: EdgeWorld, client_tls: ssl.SSLContext) -> int:
    """Give the serial number of the certificate that a client meets."""
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("S: 220 *")
        return serial_number(client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True))


async def test_a_renewed_pair_is_served_to_clients_that_come_then(
    files: CertificateFiles, client_tls: ssl.SSLContext
) -> None:
    first = files.write()
    certificates = Certificates(*files.paths, files.key.with_name("names"), SystemClock())
    world = await EdgeWorld(certificates).start()
    assert await served(world, client_tls) == first
    second = files.write(trustme.KeyType.RSA)
    assert await served(world, client_tls) == first
    certificates.look()
    assert await served(world, client_tls) == second
    await world.stop()


async def test_a_pair_that_cannot_be_loaded_is_a_trouble_of_edge(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write()
    monkeypatch.setenv("TRIPOST_EDGE_CERTIFICATE", str(files.certificate))
    monkeypatch.setenv("TRIPOST_EDGE_KEY", str(files.key))
    for name in ("MX", "SUBMISSION", "SUBMISSIONS"):
        monkeypatch.setenv(f"TRIPOST_EDGE_{name}_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("TRIPOST_EDGE_HEALTH_LISTEN", "127.0.0.1:0")
    service = EdgeService(CommonSettings(hostname=HOSTNAME))
    service.bind()
    assert list(service._troubles_of_what_is_followed()) == []
    files.key.write_text("half of a ke")
    assert service._certificates is not None
    service._certificates.look()
    [trouble] = service._troubles_of_what_is_followed()
    assert trouble.startswith(f"{STAYS} (TRIPOST_EDGE_CERTIFICATE, TRIPOST_EDGE_KEY: ")
    await service.stop()
