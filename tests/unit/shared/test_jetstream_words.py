"""Small words of NATS: statuses, header blocks, times, acknowledgement subjects."""

from datetime import UTC, datetime, timedelta

import pytest

from tripost_shared.bus import jetstream
from tripost_shared.bus.nats_client import Incoming
from tripost_shared.spool.bundle import put_back
from tripost_shared.spool.long_pull import Numbers


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 0),
        (b"NATS/1.0\r\nA: b\r\n\r\n", 0),
        (b"NATS/1.0 503\r\n\r\n", 503),
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n", 100),
        (b"NATS/1.0 x\r\n\r\n", 0),
    ],
)
def test_the_status_is_read_from_the_version_line(header: bytes | None, status: int) -> None:
    assert Incoming(b"a", b"", b"", header).status == status


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        (b"$JS.ACK.SPOOL_0.deliver.1.20.30.1700000000000000000.0", Numbers(1, 20, 30)),
        (b"$JS.ACK._.Ab12.SPOOL_0.deliver.3.20.30.1700000000000000000.0.xyz", Numbers(3, 20, 30)),
    ],
)
def test_what_is_known_of_a_delivery_is_read_from_old_and_new_subjects(subject: bytes, numbers: Numbers) -> None:
    """NATS ADR-15."""
    assert Numbers.of(Incoming(b"a", subject, b"", None)) == numbers


def test_header_fields_are_found_by_their_name() -> None:
    block = jetstream.header({"Nats-TTL": "60", "Nats-Msg-Id": "a:b"})
    assert jetstream.header_value(block, b"Nats-Msg-Id") == "a:b"
    assert jetstream.header_value(block, b"Nats-TTL") == "60"
    assert jetstream.header_value(block, b"Nats") == ""
    assert jetstream.header_value(None, b"Nats") == ""


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-24T04:23:49Z", 0),
        ("2026-11-24T04:23:49.3Z", 300_000),
        ("2026-11-24T04:23:49.379292294Z", 379_292),
    ],
)
def test_times_are_read_as_go_writes_them(text: str, microsecond: int) -> None:
    assert jetstream._time(text) == datetime(2026, 11, 24, 4, 23, 49, microsecond, tzinfo=UTC)


def test_what_is_put_back_comes_again_after_so_many_nanoseconds() -> None:
    assert put_back(timedelta(seconds=1.5)) == b'-NAK {"delay": 1500000000}'
