"""admin-api serves a renewed certificate without a restart, and tells of one that it cannot load."""

import shutil
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from admin_service import RunningAdmin
from certificate_files import CertificateFiles, serial_number
from servers import free_port
from tripost_shared.certificate_renewal import STAYS, Renewal


@dataclass
class Renewed:
    """A running admin-api with the operator's own certificate."""

    admin: RunningAdmin
    files: CertificateFiles
    client_tls: ssl.SSLContext

    @property
    def renewal(self) -> Renewal:
        """What looks at the files; else only once a minute."""
        assert self.admin.service is not None
        return self.admin.service._renewal

    def served(self) -> int:
        """Shake hands anew; gives the serial number of the certificate."""
        at = ("127.0.0.1", int(self.admin.url.rpartition(":")[2]))
        with (
            socket.create_connection(at, timeout=5) as plain,
            self.client_tls.wrap_socket(plain, server_hostname=at[0]) as client,
        ):
            return serial_number(client.getpeercert(binary_form=True))

    def client(self) -> httpx.Client:
        token = (self.admin.home / "cli" / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.admin.url, verify=self.client_tls, headers=headers, trust_env=False)


@pytest.fixture
def renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Renewed]:
    authority = trustme.CA()
    files = CertificateFiles(tmp_path / "own.crt", tmp_path / "own.key", authority, "127.0.0.1")
    files.write()
    monkeypatch.setenv("TRIPOST_ADMIN_CERTIFICATE", str(files.certificate))
    monkeypatch.setenv("TRIPOST_ADMIN_KEY", str(files.key))
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    with RunningAdmin(tmp_path / "home", f"nats://127.0.0.1:{free_port()}") as admin:
        yield Renewed(admin, files, client_tls)


def test_the_states_folder_is_made_also_when_no_certificate_is_left_in_it(renewed: Renewed) -> None:
    assert stat.S_IMODE(renewed.admin.home.stat().st_mode) == 0o700
    assert (renewed.admin.home / "tripost.sqlite").is_file()


def test_a_renewed_pair_is_served_to_clients_that_come_then(renewed: Renewed) -> None:
    first = renewed.served()
    with renewed.client() as client:
        assert client.get("/healthz").status_code == 200
        second = renewed.files.write(trustme.KeyType.RSA)
        assert renewed.served() == first != second
        renewed.renewal.look()
        assert renewed.served() == second
        assert client.get("/api/v1/status").status_code == 200
    with renewed.client() as client:
        head = client.head("/api/v1/status")
        assert (head.status_code, head.content) == (200, b"")


def test_a_pair_that_cannot_be_loaded_leaves_the_old_one_and_is_a_problem_of_the_status(renewed: Renewed) -> None:
    first = renewed.served()
    good = shutil.copy2(renewed.files.key, renewed.files.key.with_suffix(".good"))
    renewed.files.key.write_text("half of a ke")
    renewed.renewal.look()
    assert renewed.served() == first
    with renewed.client() as client:
        [problem] = [text for text in client.get("/api/v1/status").json()["problems"] if STAYS in text]
        assert "TRIPOST_ADMIN_CERTIFICATE, TRIPOST_ADMIN_KEY: " in problem
        Path(good).replace(renewed.files.key)
        renewed.renewal.look()
        assert STAYS not in client.get("/api/v1/status").text
    assert renewed.served() == first


def test_it_is_looked_at_while_the_service_runs(renewed: Renewed) -> None:
    assert renewed.admin.service is not None
    following = renewed.admin.service._renewing
    assert following is not None
    assert not following.done()
