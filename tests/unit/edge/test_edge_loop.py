"""Which hosts a message goes round through."""

import pytest

from tripost_edge.session.loop import hosts_in_loop


@pytest.mark.parametrize(
    ("header", "hosts"),
    [
        pytest.param(b"Received: from b by a; x\r\n" * 3 + b"Received: from a by b; x\r\n" * 2, "a 3, b 2", id="two"),
        pytest.param(b"Received: from x by a; x\r\nReceived: from a by b; x\r\n", "", id="no circle"),
        pytest.param(b"Received: from x\r\n\tBY\r\n\tA.Example\r\n with ESMTP;\r\n" * 2, "a.example 2", id="folded"),
        pytest.param(b"Received: (sent by x) from y by a; z\r\n" * 2, "a 2", id="a comment names nobody"),
        pytest.param(b"Received: by a; x\r\n" * 2, "a 2", id="no from"),
        pytest.param(b"Received: nonsense\r\nReceived:\r\n" * 2, "", id="no by"),
        pytest.param(b"X-Received: by a; x\r\n" * 2, "", id="another field"),
        pytest.param(b"Received: by a\x1b[31m; x\r\n" * 2, "a?[31m 2", id="control characters"),
        pytest.param(b"Received: by " + b"x" * 300 + b"\r\n\r\n" * 2, "", id="one long name"),
        pytest.param(
            b"Received: by " + b"x" * 300 + b"; \r\nReceived: by " + b"x" * 300 + b"\r\n", "x" * 100 + " 2", id="cut"
        ),
        pytest.param(
            b"".join(b"Received: by h%d; x\r\n" % (n % 9) for n in range(20)),
            "h0 3, h1 3, h2 2, h3 2, h4 2",
            id="the first five",
        ),
    ],
)
def test_hosts_that_took_it_several_times_are_named(header: bytes, hosts: str) -> None:
    assert hosts_in_loop(header) == hosts
