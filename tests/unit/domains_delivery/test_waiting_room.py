"""Messages that wait for the queue are not at hand, up to a bound."""

from contextlib import ExitStack

from tripost_domains.delivery.waiting_room import WaitingRoom


def test_who_finds_no_place_stays_where_it_was() -> None:
    room = WaitingRoom(places=2)
    with ExitStack() as waiting:
        for expected in (1, 2, 2):
            waiting.enter_context(room.waiting())
            assert room.occupied == expected
    assert room.occupied == 0


def test_who_takes_messages_hears_of_each_that_begins_to_wait() -> None:
    room, heard = WaitingRoom(places=2), []
    room.when_entered(lambda: heard.append(room.occupied))
    with room.waiting(), room.waiting():
        assert heard == [1, 2]
