"""What requests search for: checked, since a filter that can match nothing would look like an empty list."""

from typing import Annotated, Any, Final

import msgspec
from pydantic import AfterValidator, Field
from sqlalchemy import ColumnElement, Text, cast, func

from tripost_admin_api.api import names
from tripost_shared.database.folding import folded_column


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters, which nothing that is kept has")
    return text.strip()


_LONGEST: Final = Field(max_length=500)

SearchText = Annotated[str, _LONGEST, AfterValidator(_printable)]
SearchedAddress = Annotated[str, _LONGEST, AfterValidator(names.searched_address)]
SearchedSender = Annotated[str, _LONGEST, AfterValidator(names.searched_sender)]
ClientAddress = Annotated[str, _LONGEST, AfterValidator(names.client_address)]
MessageOrSession = Annotated[str, _LONGEST, AfterValidator(names.message_or_session)]

SENDER: Final = "The reverse-path; `@domain`: of a domain; `<>`: the null one."
RECIPIENT: Final = "The whole address; `@domain`: of a domain."


def is_address(column: Any, wanted: str) -> ColumnElement[bool]:
    """Match a column of addresses with what SearchedAddress or SearchedSender gave."""
    if wanted == names.NULL_PATH:
        return column == ""  # type: ignore[no-any-return]  # a column's comparison
    if wanted.startswith("@"):
        return func.lower(column).endswith(wanted, autoescape=True)  # a domain is ASCII
    return folded_column(column) == wanted


def lists_address(column: Any, wanted: str) -> ColumnElement[bool]:
    """Match a column of JSON lists of addresses with what SearchedAddress gave."""
    listed = cast(column, Text)
    # In JSON, an address ends with a quotation mark; a whole one begins with one too.
    if wanted.startswith("@"):
        return func.lower(listed).contains(f'{wanted}"', autoescape=True)
    return folded_column(listed).contains(msgspec.json.encode(wanted).decode(), autoescape=True)
