"""What is wrong with a value, in words that say what is accepted, of settings and of the API's requests; pure.

pydantic's own words say how it failed, and in its own terms.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

WHOLE_NUMBER: Final = "accepted is a whole number"
TRUE_OR_FALSE: Final = "accepted is true or false"
OBJECT: Final = "accepted is a JSON object"

# By pydantic's name of the error; the words in braces are from its context.
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool_parsing": TRUE_OR_FALSE,
        "bool_type": TRUE_OR_FALSE,
        "dict_type": OBJECT,
        "finite_number": WHOLE_NUMBER,  # of whole numbers only: the others have a message of their own
        "float_parsing": "accepted is a number",
        "float_type": "accepted is a number",
        "greater_than": "accepted is more than {gt}",
        "greater_than_equal": "accepted is {ge} or more",
        "int_from_float": WHOLE_NUMBER,
        "int_parsing": WHOLE_NUMBER,
        "int_parsing_size": WHOLE_NUMBER,
        "int_type": WHOLE_NUMBER,
        "less_than": "accepted is less than {lt}",
        "less_than_equal": "accepted is {le} or less",
        "list_type": "accepted is a list",
        "missing": "is required",
        "model_attributes_type": OBJECT,
        "string_pattern_mismatch": "accepted is what matches {pattern}",
        "string_too_long": "accepted are {max_length} characters at most",
        "string_type": "accepted is a text",
        "too_long": "accepted are {max_length} at most",
        "too_short": "accepted are {min_length} or more",
    }
)


def in_words(error: Mapping[str, Any]) -> str:
    """Give the message of one of pydantic's errors (`ValidationError.errors()`)."""
    words = WORDS.get(error["type"])
    if words is not None:
        return words.format_map(error.get("ctx", {}))
    message = str(error["msg"]).removeprefix("Value error, ")
    wanted = message.removeprefix("Input should be ")  # of a choice: 'admin' or 'read'
    return message if wanted == message else f"accepted is {wanted}"
