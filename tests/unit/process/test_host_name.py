"""This host's name: what is accepted, and what it is when nobody says."""

import socket

import pytest
from pydantic import ValidationError

from tripost_shared.hostname import is_qualified, machine_name, name_from
from tripost_shared.settings import CommonSettings, explain

DEBIAN = "127.0.0.1 localhost\n127.0.1.1 mail.example.org mail  # by the installer\n"
RED_HAT = "127.0.0.1 localhost localhost.localdomain mail.localdomain\n::1 localhost6.localdomain6\n"


@pytest.mark.parametrize("name", ["mail.example.org", "MX1", "a-1.example", "xn--mller-kva.example", "1and1.example"])
def test_a_host_name_is_taken_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPOST_HOSTNAME", name)
    assert CommonSettings().hostname == name


@pytest.mark.parametrize(
    ("name", "because"),
    [
        pytest.param("mail_1.example", "is not a host name", id="underscore"),
        pytest.param("-mail.example", "is not a host name", id="hyphen first"),
        pytest.param("mail..example", "is not a host name", id="empty label"),
        pytest.param("mail.example.", "is not a host name", id="dot last"),
        pytest.param("mail example", "is not a host name", id="blank"),
        pytest.param("mail.example\r\nX: y", "is not a host name", id="line end"),
        pytest.param(f"{'a' * 64}.example", "63 at most", id="label too long"),
        pytest.param(".".join(["a" * 60] * 5), "253 together", id="too long"),
        pytest.param("192.0.2.1", "is an address", id="IPv4 address"),
        pytest.param("[2001:db8::1]", "is an address", id="IPv6 address"),
        pytest.param("müller.example", "write it as xn--mller-kva.example", id="U-label"),
        pytest.param("mail☃.example", "is not in ASCII letters", id="no label at all"),
    ],
)
def test_what_is_no_host_name_is_refused_by_the_settings_name(
    name: str, because: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPOST_HOSTNAME", name)
    with pytest.raises(ValidationError) as caught:
        CommonSettings()
    told = explain(caught.value)
    assert told.startswith("TRIPOST_HOSTNAME: ")
    assert because in told
    assert told.isprintable()


@pytest.mark.parametrize(
    ("host", "hosts", "name"),
    [
        pytest.param("mail", DEBIAN, "mail.example.org", id="its domain is in the hosts file"),
        pytest.param("mail", RED_HAT, "mail", id="localdomain is no domain"),
        pytest.param("mail", "", "mail", id="nothing more is known"),
        pytest.param("mail", "192.0.2.7 mailer.example.org other.example", "mail", id="other hosts' names"),
        pytest.param("mail", "# 127.0.1.1 mail.example.org\n\n127.0.0.1", "mail", id="a comment"),
        pytest.param("mail.example.org", RED_HAT, "mail.example.org", id="it is qualified itself"),
        pytest.param("my_laptop", "", "my-laptop", id="a sign that host names do not have"),
        pytest.param("192.0.2.1", "", "localhost", id="an address"),
        pytest.param("…", "", "localhost", id="nothing usable"),
    ],
)
def test_the_machines_own_name(host: str, hosts: str, name: str) -> None:
    assert name_from(host, hosts) == name


def test_no_name_server_is_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> None:
        raise AssertionError("a name server would be asked")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getaddrinfo"):
        monkeypatch.setattr(socket, function, ask)
    monkeypatch.delenv("TRIPOST_HOSTNAME", raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "mail.example.org")
    assert CommonSettings().hostname == machine_name() == "mail.example.org"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("mail.example.org", True),
        ("mail", False),
        ("localhost.localdomain", False),
        ("ann.local", False),
        ("1.2.0.192.in-addr.arpa", False),
    ],
)
def test_a_qualified_name_has_a_domain_that_others_know(name: str, is_one: bool) -> None:
    assert is_qualified(name) is is_one
