"""Options that may stand anywhere on the command line are put where the parser takes them; pure."""

from collections.abc import Sequence
from typing import Final

FIRST: Final = ("--url", "--token-file")  # taken before the command
LAST: Final = ("--output", "-o")  # taken by each command itself
END_OF_OPTIONS: Final = "--"


def arranged(arguments: Sequence[str]) -> list[str]:
    """Give the same arguments with FIRST's options in front, and LAST's behind; what follows `--` stays as it is."""
    end = arguments.index(END_OF_OPTIONS) if END_OF_OPTIONS in arguments else len(arguments)
    waiting = list(arguments[:end])
    front: list[str] = []
    middle: list[str] = []
    back: list[str] = []
    while waiting:
        argument = waiting.pop(0)
        place = _place(argument, front, middle, back)
        place.append(argument)
        if place is not middle and argument in (*FIRST, *LAST):
            if not waiting:  # the parser is to say that the value is missing, and not to take the command for it
                return front if place is front else [*front, *middle, *back]
            place.append(waiting.pop(0))
    return [*front, *middle, *back, *arguments[end:]]


def _place(argument: str, front: list[str], middle: list[str], back: list[str]) -> list[str]:
    name = argument.partition("=")[0]
    if name in FIRST:
        return front
    is_short = argument.startswith("-o") and not argument.startswith("--")
    return back if name in LAST or is_short else middle
