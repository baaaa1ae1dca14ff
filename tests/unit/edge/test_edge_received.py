"""The Received field (RFC 5321 §4.4)."""

import re
from datetime import UTC, datetime

import pytest

from tripost_edge.session.received import received_field
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope, Recipient

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = Envelope("a@b.example", (Recipient("ann@dest.example"),))


def field(client: Client, envelope: Envelope = ONE, name: str = "") -> str:
    """Give the field unfolded."""
    octets = received_field(client, envelope, "id.1", NOW, hostname="mx.tripost.example", client_name=name)
    assert octets.endswith(b"\r\n")
    assert all(len(line) <= 78 for line in octets.decode().split("\r\n"))
    return re.sub(r"\r\n\t", " ", octets.decode().removesuffix("\r\n"))


@pytest.mark.parametrize(
    ("client", "beginning"),
    [
        pytest.param(
            Client("192.0.2.7", helo="c.example", esmtp=True),
            "from c.example (unknown [192.0.2.7]) by mx.tripost.example (Tripost) with ESMTP id",
            id="plain",
        ),
        pytest.param(
            Client("2001:db8::7", helo="c.example", esmtp=True, tls="TLSv1.3 X", login="u@d.example"),
            "from c.example (unknown [IPv6:2001:db8::7]) by mx.tripost.example (Tripost) with ESMTPSA (TLSv1.3 X) id",
            id="TLS and login",
        ),
        pytest.param(
            Client("192.0.2.7", helo="c.example"),
            "from c.example (unknown [192.0.2.7]) by mx.tripost.example (Tripost) with SMTP id",
            id="HELO",
        ),
        pytest.param(
            Client("192.0.2.7", helo="x\r\nEvil: (y);<z>", esmtp=True),
            "from x??Evil:??y???z? (unknown",
            id="a name that would be syntax",
        ),
        pytest.param(
            Client("192.0.2.7", helo="x\x9b\u202ey", esmtp=True),
            "from x??y (unknown",
            id="a name that a terminal would obey",
        ),
    ],
)
def test_it_says_who_and_how(client: Client, beginning: str) -> None:
    assert field(client).startswith(f"Received: {beginning}")


def test_it_ends_with_the_only_recipient_and_the_date() -> None:
    end = " id id.1 for <ann@dest.example>; Fri, 02 Jan 2026 03:04:05 +0000"
    assert field(Client("192.0.2.7", helo="c", esmtp=True)).endswith(end)


def test_it_names_no_recipient_to_another() -> None:
    envelope = Envelope("", (Recipient("ann@dest.example"), Recipient("bob@dest.example")))
    assert " for " not in field(Client("192.0.2.7", helo="c"), envelope)


def test_it_names_the_client_as_reverse_dns_does() -> None:
    assert "from c (mail.c.example [192.0.2.7])" in field(Client("192.0.2.7", helo="c"), name="mail.c.example")


def test_a_name_from_the_dns_is_no_syntax() -> None:
    assert "from c (a?b? [192.0.2.7])" in field(Client("192.0.2.7", helo="c"), name="a)b;")


def test_a_host_without_a_name_of_its_own_can_write_it() -> None:
    octets = received_field(Client("192.0.2.7", helo="c"), ONE, "id.1", NOW, hostname="localhost")
    assert b" by localhost (Tripost)" in octets.replace(b"\r\n\t", b" ")


def test_utf8_has_keywords_of_its_own() -> None:
    envelope = Envelope("", ONE.recipients, smtputf8=True)
    assert " with UTF8SMTPS " in field(Client("192.0.2.7", helo="c", esmtp=True, tls="T"), envelope)
