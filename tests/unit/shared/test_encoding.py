"""Whatever octets come, reading them gives a message or msgspec.DecodeError: the loops that read count on it."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest

from spooled import damaged_message, spooled_message
from tripost_shared.bus.encoding import decode, decode_json, encode
from tripost_shared.contracts.events import Event, EventBatch, Fact
from tripost_shared.contracts.filter import Finding
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.spool.bundle import opened

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
MUTATIONS: Final = 3000
BUNDLE: Final = msgspec.msgpack.encode([msgspec.Raw(encode(spooled_message(number, 20))) for number in range(3)])
FACTS: Final = encode(
    EventBatch(
        (
            Event("e1", "m", AT, Fact.ACCEPTED, "edge", recipients=("ann@dest.example",), score=1.5),
            Event("e2", "m", AT, Fact.REFUSED, "edge", findings=(Finding("spf", "fail", evidence={"of": "helo"}),)),
        )
    )
)


def mutations(octets: bytes) -> Iterator[bytes]:
    """Damage octets in ways that are the same at each run: overwritten, cut off, left out, doubled."""
    chance = random.Random(7)  # noqa: S311 (no secret)
    for _ in range(MUTATIONS):
        mutated = bytearray(octets)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutated))
            change = chance.randrange(8)
            if change == 0:
                del mutated[place:]
            elif change == 1:
                del mutated[place : place + chance.randint(1, 8)]
            elif change == 2:
                mutated[place:place] = mutated[place : place + chance.randint(1, 40)]
            else:
                mutated[place] = chance.randrange(256)
            if not mutated:
                break
        yield bytes(mutated)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1 no MessagePack", id="no MessagePack"),
        pytest.param(encode(spooled_message(1))[:-1], id="cut off"),
        pytest.param(encode(spooled_message(1)) + b"\x00", id="with more behind it"),
        pytest.param(damaged_message(1), id="text that is not UTF-8"),
        pytest.param(b"\x81\xa1x" + b"\x91" * 100_000, id="nested without end"),
    ],
)
def test_a_message_that_cannot_be_read_is_said_to_be_so(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(octets, SpooledMessage)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"a": "\xff"}', id="text that is not UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
    ],
)
def test_json_that_cannot_be_read_is_said_to_be_so(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_json(octets, dict[str, Any])
    with pytest.raises(msgspec.DecodeError):
        decode_json(octets, list[Any])


def test_a_damaged_bundle_gives_messages_and_the_octets_of_what_cannot_be_read() -> None:
    kinds = {type(part) for octets in mutations(BUNDLE) for part in opened(octets)}
    assert kinds == {SpooledMessage, bytes}


def test_no_octet_of_a_damaged_bundle_is_dropped_unless_it_is_in_a_message() -> None:
    """What cannot be read is parked whole, so that an operator finds it."""
    for octets in mutations(BUNDLE):
        parts = opened(octets)
        assert parts
        assert all(part in octets for part in parts if isinstance(part, bytes))


def test_damaged_facts_are_read_or_said_to_be_unreadable() -> None:
    results = set()
    for octets in mutations(FACTS):
        try:
            decode(octets, EventBatch)
        except msgspec.DecodeError:
            results.add("unreadable")
        else:
            results.add("read")
    assert results == {"read", "unreadable"}


def test_a_message_as_releases_before_bundles_stored_it_is_a_bundle_of_one() -> None:
    assert opened(encode(spooled_message(1))) == [spooled_message(1)]
