"""What is wrong with a value, in words that say what is accepted; pure."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tripost_admin_api.api.problems import FieldError, Problem, all_invalid

WHOLE_NUMBER: Final = "accepted is a whole number"
TRUE_OR_FALSE: Final = "accepted is true or false"

# pydantic's own words for these say how it failed, not what it would have taken.
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool_parsing": TRUE_OR_FALSE,
        "bool_type": TRUE_OR_FALSE,
        "int_from_float": WHOLE_NUMBER,
        "int_parsing": WHOLE_NUMBER,
        "int_parsing_size": WHOLE_NUMBER,
        "int_type": WHOLE_NUMBER,
        "finite_number": WHOLE_NUMBER,  # of whole numbers only: the others have a message of their own
        "missing": "is required",
        "model_attributes_type": "accepted is a JSON object",
        "dict_type": "accepted is a JSON object",
    }
)

BOUNDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"greater_than_equal": ("ge", "more"), "less_than_equal": ("le", "less")}
)


def problem_of_errors(errors: Iterable[Mapping[str, Any]], above: tuple[str, ...] = ()) -> Problem:
    """Make one problem of pydantic's errors; `above`: the place of what was validated."""
    return all_invalid([FieldError(".".join(map(str, (*above, *item["loc"]))), in_words(item)) for item in errors])


def in_words(error: Mapping[str, Any]) -> str:
    """Give the message of one error."""
    bound = BOUNDS.get(error["type"])
    if bound is not None:
        name, words = bound
        return f"accepted is {error['ctx'][name]} or {words}"
    return WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


def unknown(what: str, given: Iterable[str], accepted: Iterable[str]) -> str:
    """Say that there is no such parameter or field, and which there are."""
    names = ", ".join(repr(name[:100]) for name in given)
    there_are = ", ".join(accepted)
    return f"there is no {what} {names} here; accepted: {there_are or 'none'}"
