"""What is wrong with a request, as a problem; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from tripost_admin_api.api.problems import FieldError, Problem, all_invalid
from tripost_shared.wording import in_words


def problem_of_errors(errors: Iterable[Mapping[str, Any]], above: tuple[str, ...] = ()) -> Problem:
    """Make one problem of pydantic's errors; `above`: the place of what was validated."""
    return all_invalid([FieldError(_place((*above, *item["loc"])), in_words(item)) for item in errors])


def _place(parts: Iterable[str | int]) -> str:
    """Name a place as `body.networks[2]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def unknown(what: str, given: Iterable[str], accepted: Iterable[str]) -> str:
    """Say that there is no such parameter or field, and which there are."""
    names = ", ".join(repr(name[:100]) for name in given)
    there_are = ", ".join(accepted)
    return f"there is no {what} {names} here; accepted: {there_are or 'none'}"
