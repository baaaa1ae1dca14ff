"""Haraka beside edge: the program from npm, with a plug-in of ours that takes all mail and forgets it."""

import base64
import shutil
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa

from bench.system import BenchError

PLUGIN: Final = """\
exports.hook_lookup_rdns = (next) => next(OK, 'client.bench.example')
exports.hook_rcpt = (next) => next(OK)
exports.hook_queue = (next) => next(OK)
"""
# As `haraka -i` writes them, but for a log of what goes wrong only: at its level `info` each command has several lines.
# No client is looked up in DNS: that is the filter's at ours, and nothing may leave this machine.
FILES: Final = {
    "config/smtp.ini": "listen=127.0.0.1:{port}\nnodes=0\n",
    "config/log.ini": "[main]\nlevel=warn\ntimestamps=false\nformat=default\n",
    "config/connection.ini": (
        "[main]\n[haproxy]\nhosts[] =\n[headers]\nmax_lines=1000\nmax_received=100\n"
        "[max]\nbytes=26214400\nmime_parts=1000\nline_length=512\ndata_line_length=992\n"
        "[message]\nhelo=Haraka is at your service.\nclose=closing connection.\n[uuid]\nbanner_chars=6\ndeny_chars=0\n"
    ),
    "config/me": "haraka.bench.example\n",
    "config/plugins": "tls\nforget\n",
    "config/tls.ini": "key={key}\ncert={certificate}\n",
    "plugins/forget.js": PLUGIN,
}


def program(prefix: Path | None) -> Path:
    """Find the program: in the folder of `npm install --prefix`, else in the PATH. Raises BenchError."""
    if prefix is not None:
        found: Path | None = prefix / "node_modules/.bin/haraka"
    else:
        on_path = shutil.which("haraka")
        found = Path(on_path) if on_path else None
    if found is None or not found.exists():
        raise BenchError("it is not installed (npm install --prefix FOLDER Haraka, then --haraka FOLDER)")
    return found.absolute()


def configure(folder: Path, port: int, certificate: Path, key: Path) -> Path:
    """Write its configuration; gives the folder."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(port=port, key=key, certificate=certificate))
    (folder / "config/dhparams.pem").write_bytes(_parameters())
    return folder


def _parameters() -> bytes:
    """Make parameters of Diffie and Hellman's (PKCS #3), as quickly as DSA's are made: Haraka takes half a minute.

    Nobody uses them, since TLS 1.3 has its own.
    """
    numbers = dsa.generate_parameters(2048).parameter_numbers()
    octets = _der(0x30, b"".join(_der(0x02, b"\0" + number.to_bytes(256)) for number in (numbers.p, numbers.g)))
    return b"-----BEGIN DH PARAMETERS-----\n" + base64.encodebytes(octets) + b"-----END DH PARAMETERS-----\n"


def _der(tag: int, octets: bytes) -> bytes:
    return bytes((tag, 0x82)) + len(octets).to_bytes(2) + octets
