"""Host names: how one must look (RFC 952, RFC 1123 §2.1), and what this machine calls itself."""

import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import idna

MAX_OCTETS: Final = 253
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9.-]")
_HOSTS: Final = Path("/etc/hosts")
_KNOWN_HERE_ONLY: Final = frozenset({"localhost", "localdomain", "local", "arpa"})  # top labels


def check_host_name(text: str) -> str:
    """Give the name as it is; raises ValueError that says what is accepted."""
    if not text.isascii():
        raise ValueError(f"{text!r} is not in ASCII letters{_in_a_labels(text)}")
    if _is_address(text):
        raise ValueError(f"{text!r} is an address, not a host name")
    if len(text) > MAX_OCTETS or _NAME.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is not a host name: letters, digits and hyphens, 63 at most between two dots, "
            f"{MAX_OCTETS} together, such as mail.example.org"
        )
    return text


def is_qualified(name: str) -> bool:
    """Whether it can be a name by which other hosts know this one: it has a domain, and not one like `localdomain`."""
    return "." in name and name.rpartition(".")[2].lower() not in _KNOWN_HERE_ONLY


def machine_name() -> str:
    """Give this machine's own name, with its domain where /etc/hosts has that.

    No name server is asked, as `socket.getfqdn` would do: a slow one must not hold up a start, and what it tells of an
    address (`localhost`, a name in `in-addr.arpa`) is seldom this host's name.
    """
    try:
        hosts = _HOSTS.read_text(errors="replace")
    except OSError:
        hosts = ""
    return name_from(socket.gethostname(), hosts)


def name_from(host: str, hosts: str) -> str:
    """Make a valid host name of `host`: the qualified form of it that `hosts` (hosts(5)) has, else its own."""
    for name in (*_qualified_forms(host, hosts), host):
        usable = _FOREIGN.sub("-", name)[:MAX_OCTETS].strip("-.")
        if _NAME.fullmatch(usable) and not _is_address(usable):
            return usable
    return "localhost"


def _qualified_forms(host: str, hosts: str) -> list[str]:
    """Find `mail.example.org` in a line such as `127.0.1.1 mail.example.org mail`."""
    names = [name for line in hosts.splitlines() for name in line.partition("#")[0].split()[1:]]
    return [name for name in names if name.lower().startswith(f"{host.lower()}.") and is_qualified(name)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _in_a_labels(text: str) -> str:
    try:
        return f": write it as {idna.encode(text, uts46=True).decode()}"
    except idna.IDNAError:
        return ""
