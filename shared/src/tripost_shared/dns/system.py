"""Which DNS servers to ask."""

from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tripost_shared.settings import CommonSettings, SettingsError

DNS_PORT: Final = 53
RESOLV_CONF: Final = Path("/etc/resolv.conf")


def system_servers(settings: CommonSettings, resolv_conf: Path = RESOLV_CONF) -> list[str]:
    """Give those of TRIPOST_DNS_SERVERS, else the nameservers of resolv.conf(5), else this host.

    Raises SettingsError when TRIPOST_DNS_SERVERS names one that is no address.
    """
    for server in settings.dns_servers:
        parse_server(server)
    if settings.dns_servers:
        return list(settings.dns_servers)
    return _nameservers(resolv_conf) or ["127.0.0.1"]


def parse_server(text: str) -> tuple[str, int]:
    """Read `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:53`; raises SettingsError."""
    host, port = text, str(DNS_PORT)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
        if not bracket or rest[:1] not in {"", ":"}:
            raise SettingsError(f"TRIPOST_DNS_SERVERS: {text!r} has unpaired brackets")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ip_address(host)
        number = int(port)
    except ValueError as error:
        raise SettingsError(f"TRIPOST_DNS_SERVERS: {text!r} is not address or address:port") from error
    if not 0 < number < 65536:
        raise SettingsError(f"TRIPOST_DNS_SERVERS: {text!r} has no valid port")
    return str(address), number


def _nameservers(resolv_conf: Path) -> list[str]:
    try:
        lines = resolv_conf.read_text(errors="replace").splitlines()
    except OSError:
        return []
    named = [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]
    return [server for server in named if _is_address(server)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
