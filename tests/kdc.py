"""A Kerberos realm of a test's own: MIT's KDC in a temporary folder, on a port of loopback."""

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from needs import program
from servers import free_port

REALM: Final = "DEST.EXAMPLE"
WITHIN_SECONDS: Final = 10.0


class Kdc:
    """Knows the principals that it is told to make. `environment` is what programs need to find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5RCACHEDIR": str(folder),
        }

    def __enter__(self) -> "Kdc":
        folder = self._folder
        (folder / "krb5.conf").write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_realm = false\n dns_lookup_kdc = false\n"
            " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{self._port}\n }}\n"
            f"[domain_realm]\n .example = {REALM}\n[logging]\n kdc = FILE:{folder}/kdc.log\n"
        )
        (folder / "kdc.conf").write_text(
            f'[kdcdefaults]\n kdc_listen = ""\n kdc_tcp_listen = 127.0.0.1:{self._port}\n'
            f"[realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
            f"  acl_file = {folder}/acl\n  supported_enctypes = aes256-cts-hmac-sha1-96:normal\n }}\n"
        )
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master-of-the-tests")
        self._process = subprocess.Popen(
            [str(program("krb5kdc")), "-n", "-P", str(folder / "pid")],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_listens()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def keytab(self, *principals: str) -> Path:
        """Make principals; gives a file with their keys."""
        path = self._folder / f"{abs(hash(principals))}.keytab"
        for principal in principals:
            self._run("kadmin.local", "-r", REALM, "-q", f"addprinc -randkey {principal}")
            self._run("kadmin.local", "-r", REALM, "-q", f"ktadd -k {path} {principal}")
        assert path.exists()
        return path

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [str(program(name)), *words],
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _wait_until_it_listens(self) -> None:
        give_up_at = time.monotonic() + WITHIN_SECONDS
        log = self._folder / "kdc.log"
        while not (log.exists() and "commencing operation" in log.read_text()):
            assert time.monotonic() < give_up_at, log.read_text() if log.exists() else "krb5kdc wrote no log"
            assert self._process is not None
            assert self._process.poll() is None, log.read_text() if log.exists() else "krb5kdc has ended"
            time.sleep(0.02)
