"""Which DNS servers are asked."""

from pathlib import Path

import pytest

from tripost_shared.dns.exchange import Exchange, NoReply
from tripost_shared.dns.system import parse_server, system_servers
from tripost_shared.dns.wire import Query
from tripost_shared.settings import CommonSettings, SettingsError


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("[::1]:54", ("::1", 54)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("2001:db8::53", ("2001:db8::53", 53)),
    ],
)
def test_servers_are_read(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    "text", ["", "dns.example", "192.0.2.53:x", "192.0.2.53:0", "192.0.2.53:65536", "[::1", "::1:x"]
)
def test_what_is_no_server_is_named_in_the_error(text: str) -> None:
    with pytest.raises(SettingsError, match="TRIPOST_DNS_SERVERS"):
        parse_server(text)


def test_the_setting_is_all_that_counts(tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 192.0.2.1\n")
    settings = CommonSettings(dns_servers=["127.0.0.1:5353"])
    assert system_servers(settings, resolv_conf) == ["127.0.0.1:5353"]
    with pytest.raises(SettingsError):
        system_servers(CommonSettings(dns_servers=["nonsense"]), resolv_conf)


def test_without_the_setting_resolv_conf_counts_and_without_both_this_host(tmp_path: Path) -> None:
    settings = CommonSettings(dns_servers=[])
    resolv_conf = tmp_path / "resolv.conf"
    assert system_servers(settings, resolv_conf) == ["127.0.0.1"]
    resolv_conf.write_text("# by hand\nsearch a.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1 \nnameserver x\n")
    assert system_servers(settings, resolv_conf) == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("servers", "because"),
    [
        pytest.param([], "no DNS server is set", id="no server"),
        pytest.param(["127.0.0.1:5353"], "no time left", id="no time"),
    ],
)
async def test_why_nobody_was_asked(servers: list[str], because: str) -> None:
    exchange = Exchange(servers)
    with pytest.raises(NoReply, match=because):
        await exchange.ask(Query.of("a.example", "A"), 0)
    exchange.close()
