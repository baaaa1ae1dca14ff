"""The Received field (RFC 5321 §4.4)."""

import re
from datetime import UTC, datetime

import pytest

from tripost_edge.session.received import received_field
from tripost_filter.checks.reverse_dns import ReverseDns
from tripost_filter.mail import Mail
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope, Recipient

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = Envelope("a@b.example", (Recipient("ann@dest.example"),))


def field(client: Client, envelope: Envelope = ONE, *findings: Finding) -> str:
    """Give the field unfolded."""
    octets = received_field(client, envelope, "id.1", NOW, hostname="mx.tripost.example", findings=findings)
    assert octets.endswith(b"\r\n")
    assert all(len(line) <= 78 for line in octets.decode().split("\r\n"))
    return re.sub(r"\r\n\t", " ", octets.decode().removesuffix("\r\n"))


@pytest.mark.parametrize(
    ("client", "beginning"),
    [
        pytest.param(
            Client("192.0.2.7", helo="c.example", esmtp=True),
            "from c.example ([192.0.2.7]) by mx.tripost.example (Tripost) with ESMTP id",
            id="plain",
        ),
        pytest.param(
            Client("2001:db8::7", helo="c.example", esmtp=True, tls="TLSv1.3 X", login="u@d.example"),
            "from c.example ([IPv6:2001:db8::7]) by mx.tripost.example (Tripost) with ESMTPSA (TLSv1.3 X) id",
            id="TLS and login",
        ),
        pytest.param(
            Client("192.0.2.7", helo="c.example"),
            "from c.example ([192.0.2.7]) by mx.tripost.example (Tripost) with SMTP id",
            id="HELO",
        ),
        pytest.param(
            Client("192.0.2.7", helo="x\r\nEvil: (y);<z>", esmtp=True),
            "from x??Evil:??y???z? ([192.0.2.7])",
            id="a name that would be syntax",
        ),
        pytest.param(
            Client("192.0.2.7", helo="x\x9b\u202ey", esmtp=True),
            "from x??y ([192.0.2.7])",
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


@pytest.mark.parametrize(
    ("records", "client", "words"),
    [
        pytest.param(
            ("7.2.0.192.in-addr.arpa PTR Mail.c.example", "mail.c.example A 192.0.2.7"),
            Client("192.0.2.7", helo="c"),
            "from c (mail.c.example [192.0.2.7]) by",
            id="a name that leads back to its address",
        ),
        pytest.param(
            ("7.2.0.192.in-addr.arpa PTR mail.c.example", "mail.c.example A 192.0.2.8"),
            Client("192.0.2.7", helo="c"),
            "from c (unknown [192.0.2.7]) by",
            id="a name that leads elsewhere",
        ),
        pytest.param((), Client("192.0.2.7", helo="c"), "from c (unknown [192.0.2.7]) by", id="no name"),
        pytest.param(
            ("7.2.0.192.in-addr.arpa PTR TIMEOUT",),
            Client("192.0.2.7", helo="c"),
            "from c (unknown [192.0.2.7]) by",
            id="DNS is away",
        ),
        pytest.param((), Client("192.0.2.7", helo="c", login="u"), "from c ([192.0.2.7]) by", id="not looked up"),
    ],
)
async def test_it_names_the_client_as_reverse_dns_does(records: tuple[str, ...], client: Client, words: str) -> None:
    """By the findings of the filter's own check, so that the two understand each other."""
    finding = await ReverseDns(TableResolver(*records), FrozenClock()).examine(Mail(client))
    assert words in field(client, ONE, Finding("dnsbl", "none"), *(() if finding is None else (finding,)))


def test_a_look_up_that_the_filter_cut_off_gave_no_name() -> None:
    late = Finding("reverse_dns", "timeout", degraded=True)
    assert "from c (unknown [192.0.2.7])" in field(Client("192.0.2.7", helo="c"), ONE, late)


def test_a_name_from_the_dns_is_no_syntax() -> None:
    finding = Finding("reverse_dns", "pass", evidence={"name": "a)b;\r\nc"})
    assert "from c (a?b???c [192.0.2.7])" in field(Client("192.0.2.7", helo="c"), ONE, finding)


def test_a_host_without_a_name_of_its_own_can_write_it() -> None:
    octets = received_field(Client("192.0.2.7", helo="c"), ONE, "id.1", NOW, hostname="localhost")
    assert b" by localhost (Tripost)" in octets.replace(b"\r\n\t", b" ")


def test_utf8_has_keywords_of_its_own() -> None:
    envelope = Envelope("", ONE.recipients, smtputf8=True)
    assert " with UTF8SMTPS " in field(Client("192.0.2.7", helo="c", esmtp=True, tls="T"), envelope)
