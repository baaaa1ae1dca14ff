"""HELO and EHLO: which names are taken (RFC 5321 §4.1.1.1, §4.1.4)."""

import pytest

from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_edge.stages.hello import Hello
from tripost_shared.mail.client import Client


@pytest.fixture
def session() -> Session:
    return Session("1k3v9q2m8f0abcde", Client("192.0.2.7"))


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        pytest.param("client.example", "client.example", id="domain"),
        pytest.param("[192.0.2.7]", "[192.0.2.7]", id="address literal"),
        pytest.param("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]", id="IPv6 literal"),
        pytest.param("MY_PC", "MY_PC", id="not a host name"),
        pytest.param("x(y)", "x(y)", id="odd characters"),
        pytest.param("b\u00fccher.example", "xn--bcher-kva.example", id="U-label"),
        pytest.param("x" * 255, "x" * 255, id="long"),
    ],
)
def test_names_are_taken_as_they_are_but_in_ascii(session: Session, name: str, taken: str) -> None:
    hello = Hello("localhost")
    assert hello.ehlo(session, name).code == 250
    assert (session.client.helo, session.client.esmtp) == (taken, True)
    assert hello.helo(session, name).code == 250
    assert (session.client.helo, session.client.esmtp) == (taken, False)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="none"),
        pytest.param("two words", id="two words"),
        pytest.param("a\tb", id="tab"),
        pytest.param("a\x7fb", id="control"),
        pytest.param("a\x9bb.example", id="C1 control"),
        pytest.param("a\u202eb.example", id="right-to-left override"),
        pytest.param("a\u2028b", id="line separator"),
        pytest.param("\u2603 .example", id="no label"),
        pytest.param("\u00fc_b.example", id="no U-label"),
        pytest.param("x" * 256, id="too long"),
    ],
)
def test_what_is_no_name_is_refused(session: Session, name: str) -> None:
    hello = Hello("localhost")
    assert hello.ehlo(session, name) == replies.BAD_HELLO
    assert hello.helo(session, name) == replies.BAD_HELLO
    assert session.client.helo == ""
