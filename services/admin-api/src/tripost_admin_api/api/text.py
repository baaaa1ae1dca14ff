"""Search texts of requests."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters, which nothing that is kept has")
    return text.strip()


SearchText = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
