"""What is refused is told by what is accepted, and not in the library's own terms."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from tripost_shared.wording import in_words


def refuse(value: object) -> object:
    raise ValueError(f"{value!r} is no colour")


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        pytest.param(int, "abc", "accepted is a whole number", id="no number"),
        pytest.param(int, "1.5", "accepted is a whole number", id="no whole number"),
        pytest.param(float, "abc", "accepted is a number", id="no number of any kind"),
        pytest.param(bool, "maybe", "accepted is true or false", id="no truth"),
        pytest.param(str, 17, "accepted is a text", id="no text"),
        pytest.param(list[str], "a", "accepted is a list", id="no list"),
        pytest.param(dict[str, str], "a", "accepted is a JSON object", id="no object"),
        pytest.param(Literal["admin", "read"], "owner", "accepted is 'admin' or 'read'", id="no choice"),
        pytest.param(Annotated[int, Field(le=65535)], 65536, "accepted is 65535 or less", id="too large"),
        pytest.param(Annotated[int, Field(ge=10)], 9, "accepted is 10 or more", id="too small"),
        pytest.param(Annotated[float, Field(gt=0)], 0, "accepted is more than 0.0", id="too small by nothing"),
        pytest.param(Annotated[list[str], Field(min_length=1)], [], "accepted are 1 or more", id="too few"),
        pytest.param(Annotated[list[str], Field(max_length=1)], ["a", "b"], "accepted are 1 at most", id="too many"),
        pytest.param(
            Annotated[str, Field(max_length=2)], "abc", "accepted are 2 characters at most", id="too long a text"
        ),
        pytest.param(Annotated[str, AfterValidator(refuse)], "x", "'x' is no colour", id="words of our own"),
    ],
)
def test_what_is_accepted_is_told(kind: Any, given: object, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    (error,) = caught.value.errors()
    assert in_words(error) == told
