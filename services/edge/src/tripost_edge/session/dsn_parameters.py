"""The parameters by which a client says what it wants to be told of (RFC 3461 §4, RFC 6533 §3); pure.

Each function takes a parameter's value (None: it had none), and raises PermanentFailure for one that the RFC does not
know.
"""

import re
from typing import Final

from tripost_edge.session import replies
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.header import is_printable
from tripost_shared.mail.xtext import UTF8_TYPE, NoXtext, from_utf8_address, from_xtext

MAX_ENVID: Final = 100  # characters as they are given (RFC 3461 §4.4)
MAX_ORCPT: Final = 500  # RFC 3461 §4.2

_RETURNS: Final = frozenset({"FULL", "HDRS"})
_NEVER: Final = "NEVER"
_NOTICES: Final = ("SUCCESS", "FAILURE", "DELAY")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


def read_ret(value: str | None) -> str:
    """RET: "FULL" or "HDRS", how much of the message a report of its failure is to bring back."""
    given = (value or "").upper()
    if given not in _RETURNS:
        raise _bad("RET is neither FULL nor HDRS")
    return given


def read_envid(value: str | None) -> str:
    """ENVID, decoded."""
    if not value or len(value) > MAX_ENVID:
        raise _bad("ENVID is empty or too long")
    return _decoded("ENVID", value)


def read_notify(value: str | None) -> tuple[str, ...]:
    """NOTIFY: ("NEVER",), or which of SUCCESS, FAILURE and DELAY, in this order."""
    given = (value or "").upper().split(",")
    if given == [_NEVER]:
        return (_NEVER,)
    if len(set(given)) != len(given) or not set(given) <= set(_NOTICES):
        raise _bad("NOTIFY is neither NEVER nor some of SUCCESS, FAILURE, DELAY")
    return tuple(notice for notice in _NOTICES if notice in given)


def read_orcpt(value: str | None, *, smtputf8: bool) -> str:
    """ORCPT as `type;address`, decoded. Of type `utf-8` only may it be other than ASCII, and then after SMTPUTF8."""
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not address or len(value or "") > MAX_ORCPT or not _ADDRESS_TYPE.fullmatch(kind):
        raise _bad("ORCPT is no type and address")
    if kind.lower() != UTF8_TYPE:
        return f"{kind};{_decoded('ORCPT', address)}"
    if not smtputf8 and not address.isascii():
        raise PermanentFailure(replies.NEEDS_SMTPUTF8, because="ORCPT is not ASCII")
    try:
        decoded = from_utf8_address(address)
    except NoXtext as error:
        raise _bad(f"ORCPT: {error}") from error
    if not is_printable(decoded):
        raise _bad("ORCPT has control characters")
    return f"{UTF8_TYPE};{decoded}"


def _decoded(name: str, value: str) -> str:
    try:
        return from_xtext(value)
    except NoXtext as error:
        raise _bad(f"{name}: {error}") from error


def _bad(because: str) -> PermanentFailure:
    return PermanentFailure(replies.BAD_PARAMETER, because=because)
