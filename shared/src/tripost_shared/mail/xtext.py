"""How DSN parameters write what no SMTP parameter could hold as it is (RFC 3461 §4; RFC 6533 §3 for UTF-8); pure."""

import re
from typing import Final

UTF8_TYPE: Final = "utf-8"  # the address type of internationalised addresses (RFC 6533 §3)

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_UTF8_ADDRESS: Final = re.compile(r"(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})+")


class NoXtext(ValueError):
    """The text is not what the encoding gives; the message says why."""


def from_xtext(text: str) -> str:
    """Undo the encoding; raises NoXtext, also for what is not printable ASCII then."""
    if not _XTEXT.fullmatch(text):
        raise NoXtext("not in xtext")
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not all(" " <= each <= "~" for each in decoded):
        raise NoXtext("no printable ASCII")
    return decoded


def to_xtext(text: str) -> str:
    """Write printable ASCII so that it can stand in a parameter."""
    return "".join(each if "!" <= each <= "~" and each not in "+=" else f"+{ord(each):02X}" for each in text)


def from_utf8_address(text: str) -> str:
    """Give an address of type `utf-8`, its characters as they are or by their numbers; raises NoXtext."""
    if not _UTF8_ADDRESS.fullmatch(text):
        raise NoXtext("no UTF-8 address")
    try:
        return _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
    except (ValueError, OverflowError) as error:
        raise NoXtext("no character has that number") from error


def to_utf8_address(text: str) -> str:
    """Write an address of type `utf-8` in ASCII."""
    return "".join(each if "!" <= each <= "~" and each not in "\\+=" else f"\\x{{{ord(each):X}}}" for each in text)
