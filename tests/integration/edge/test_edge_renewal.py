"""A renewed certificate is served without a restart."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.x509 import load_der_x509_certificate
from structlog.testing import capture_logs

from edge_world import HOSTNAME, EdgeWorld
from tripost_edge.listeners import renewal
from tripost_edge.listeners.renewal import Renewal
from tripost_edge.listeners.tls import server_context


class Files:
    """Certificate and key on disk."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self._authority = authority
        self.paths = (folder / "edge.crt", folder / "edge.key")

    def write(self, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> int:
        """Put a new pair there; gives the certificate's serial number."""
        issued = self._authority.issue_cert(HOSTNAME, key_type=kind)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        for path, octets in zip(self.paths, (chain, issued.private_key_pem.bytes()), strict=True):
            beside = path.with_suffix(".new")
            beside.write_bytes(octets)
            beside.replace(path)
        return load_der_x509_certificate(
            ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        ).serial_number


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    return Files(tmp_path, authority)


async def served(world: EdgeWorld, client_tls: ssl.SSLContext) -> int:
    """Give the serial number of the certificate that a client meets."""
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True) as client:
        await client("S: 220 *")
        octets = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return load_der_x509_certificate(octets).serial_number


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
async def test_a_renewed_pair_is_served_and_nothing_of_the_old_one(
    files: Files, client_tls: ssl.SSLContext, kind: trustme.KeyType
) -> None:
    """Its key may be of another kind: a context with both would go on with the old one."""
    first = files.write(kind)
    context = server_context(*files.paths)
    renewed = Renewal(context, *files.paths)
    world = await EdgeWorld(context).start()
    assert await served(world, client_tls) == first
    second = files.write(trustme.KeyType.ECDSA)
    renewed.look()
    assert await served(world, client_tls) == second
    again = files.write(trustme.KeyType.RSA)
    renewed.look()
    assert await served(world, client_tls) == again
    await world.stop()


async def test_a_pair_that_cannot_be_loaded_changes_nothing_and_is_told_once(
    files: Files, client_tls: ssl.SSLContext
) -> None:
    first = files.write()
    context = server_context(*files.paths)
    renewed = Renewal(context, *files.paths)
    world = await EdgeWorld(context).start()
    key = files.paths[1].read_bytes()
    second = files.write()
    new_key = files.paths[1].read_bytes()
    with capture_logs() as logs:
        for octets in (key, key, new_key[:100], new_key[:100]):
            files.paths[1].write_bytes(octets)
            renewed.look()
            assert await served(world, client_tls) == first
        files.paths[1].unlink()
        renewed.look()
        assert await served(world, client_tls) == first
        files.paths[1].write_bytes(new_key)
        renewed.look()
        renewed.look()
    assert await served(world, client_tls) == second
    told = [line["event"] for line in logs if "TLS certificate" in line["event"]]
    assert told[-1] == "TLS certificate loaded anew"
    assert told[:-1] == ["changed TLS certificate cannot be loaded: the one before stays"] * 3
    await world.stop()


async def test_it_looks_again_and_again_and_says_when_it_cannot(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root may read is unreadable once root is given up."""
    files.write()
    context = server_context(*files.paths)
    renewed = Renewal(context, *files.paths)
    monkeypatch.setattr(renewal, "LOOK_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(os, "access", lambda path, mode: path != files.paths[1])
    files.write()
    with capture_logs() as logs:
        following = asyncio.create_task(renewed.follow())
        async with asyncio.timeout(5):
            while context.sni_callback is None:  # noqa: ASYNC110 (a context tells nobody that it has changed)
                await asyncio.sleep(0.001)
        following.cancel()
    assert logs[0]["files"] == [str(files.paths[1])]
    assert [line["event"] for line in logs[1:]] == ["TLS certificate loaded anew"]
