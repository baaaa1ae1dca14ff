"""What a proxy says by XCLIENT."""

import pytest

from tripost_edge.session.xclient import Announced, parse_xclient
from tripost_shared.mail.failures import PermanentFailure


@pytest.mark.parametrize(
    ("argument", "announced"),
    [
        ("ADDR=192.0.2.7", Announced("192.0.2.7")),
        ("addr=192.0.2.7 port=25", Announced("192.0.2.7", 25)),
        ("ADDR=IPV6:2001:DB8::1", Announced("2001:db8::1")),
        ("ADDR=ipv6:::ffff:192.0.2.7", Announced("192.0.2.7")),
        ("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", Announced("")),
        ("ADDR=192.0.2.7 PORT=[UNAVAILABLE]", Announced("192.0.2.7", 0)),
        ("NAME=client.example HELO=x+2By PROTO=ESMTP", Announced(None)),
        ("LOGIN=[UNAVAILABLE] ADDR=192.0.2.7", Announced("192.0.2.7")),
        ("DESTADDR=IPV6:2001:db8::2 DESTPORT=587 PROTO=smtp", Announced(None)),
    ],
)
def test_address_and_port_count(argument: str, announced: Announced) -> None:
    assert parse_xclient(argument) == announced


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "ADDR",
        "ADDR=",
        "ADDR=192.0.2.7 ADDR=192.0.2.8",
        "ADDR=192.0.2",
        "ADDR=192.0.2.7/32",
        "ADDR=2001:db8::1",
        "ADDR=IPV6:192.0.2.7",
        "ADDR=IPV6:",
        "ADDR=IPV6:fe80::1%eth0",
        "ADDR=client.example",
        "PORT=0",
        "PORT=65536",
        "PORT=-1",
        "PORT=1e3",
        "PROTO=LMTP",
        "NAME=a+20b",
        "NAME=a+0D+0Ab",
        "NAME=" + "a" * 256,
        "HELO=a+b",
        "LOGIN=user@dest.example",
        "SECRET=1",
        "=1",
    ],
)
def test_what_is_not_plain_is_refused(argument: str) -> None:
    with pytest.raises(PermanentFailure) as refused:
        parse_xclient(argument)
    assert refused.value.reply.code == 501
