"""Who has a place among the API's connections, who makes room, and what the log says of those without one."""

from structlog.testing import capture_logs

from tripost_admin_api.access.places import Places
from tripost_admin_api.adapters.http_connection import SAY_AGAIN_SECONDS, Refusals

MOST = 40  # ten for one network


class Connected:
    """A connection that notes that it was ended."""

    def __init__(self, *, gives_way: bool = True) -> None:
        self.gives_way = gives_way
        self.is_ended = False

    def end(self) -> None:
        self.is_ended = True


def taken(places: Places, number: int, address: str, *, gives_way: bool = True) -> list[Connected]:
    connections = [Connected(gives_way=gives_way) for _ in range(number)]
    assert [places.take(connection, address) for connection in connections] == [""] * number
    return connections


def test_a_network_past_its_part_ends_its_own_oldest_stranger() -> None:
    places = Places(MOST)
    others = taken(places, 1, "198.51.100.1")
    known = taken(places, 2, "192.0.2.1", gives_way=False)
    strangers = taken(places, 8, "192.0.2.2")
    taken(places, 1, "192.0.2.3")
    assert [one.is_ended for one in [*others, *known, *strangers]] == [False] * 3 + [True] + [False] * 7


def test_a_network_of_known_connections_alone_gets_no_more_than_its_part_and_others_still_get_theirs() -> None:
    places = Places(MOST)
    known = taken(places, 10, "2001:db8::1", gives_way=False)
    assert places.take(Connected(), "2001:db8::2").startswith("There are 10 connections from your network")
    taken(places, 1, "2001:db8:0:1::1")
    places.leave(known[0])
    taken(places, 1, "2001:db8::3")


def test_when_all_places_are_taken_a_stranger_of_another_network_makes_room() -> None:
    places = Places(MOST)
    for number in range(3):
        taken(places, 10, f"192.0.{number}.1", gives_way=False)
    strangers = taken(places, 10, "198.51.100.1")
    taken(places, 1, "203.0.113.1", gives_way=False)
    assert [stranger.is_ended for stranger in strangers] == [True] + [False] * 9


def test_when_nobody_gives_way_there_is_no_place() -> None:
    places = Places(MOST)
    for number in range(4):
        taken(places, 10, f"192.0.{number}.1", gives_way=False)
    assert places.take(Connected(), "203.0.113.1").startswith("There are 40 connections (see")


def test_few_places_leave_some_that_one_network_cannot_fill() -> None:
    places = Places(10)
    taken(places, 8, "192.0.2.1", gives_way=False)
    assert places.take(Connected(), "192.0.2.1")
    taken(places, 2, "198.51.100.1", gives_way=False)


def test_refusals_are_one_line_in_ten_seconds() -> None:
    refusals = Refusals()
    with capture_logs() as lines:
        for now in (100.0, 101.0, 102.0, 100.0 + SAY_AGAIN_SECONDS):
            refusals.note("192.0.2.1", "full", now)
    assert [line.get("others_before") for line in lines] == [None, 2]
