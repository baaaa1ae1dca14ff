"""Command lines and their arguments (RFC 5321 §4.1.1, §4.1.2)."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from tripost_edge.session import replies
from tripost_edge.session.phase import Event
from tripost_shared.mail.failures import PermanentFailure

MAX_AUTH_LINE_OCTETS: Final = 12_288  # RFC 4954 §4

EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "EHLO": Event.HELLO,
        "HELO": Event.HELLO,
        "STARTTLS": Event.STARTTLS,
        "AUTH": Event.AUTH,
        "MAIL": Event.MAIL,
        "RCPT": Event.RCPT,
        "DATA": Event.DATA,
        "BDAT": Event.BDAT,
        "RSET": Event.RSET,
        "QUIT": Event.QUIT,
        "NOOP": Event.OTHER,
        "HELP": Event.OTHER,
        "VRFY": Event.OTHER,
        "XCLIENT": Event.XCLIENT,
    }
)
NOT_IMPLEMENTED: Final = frozenset({"EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML"})
WITHOUT_ARGUMENT: Final = frozenset({"DATA", "RSET", "QUIT", "STARTTLS"})

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PATH: Final = r':[ \t]*<((?:[^"<>]++|"(?:[^"\\]|\\.)*")*)>((?:[ \t].*)?)'
_FROM: Final = re.compile("FROM" + _PATH, re.IGNORECASE)
_TO: Final = re.compile("TO" + _PATH, re.IGNORECASE)
_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_BETWEEN_PARAMETERS: Final = re.compile("[ \t]+")  # and no other white space: a value may hold that


class Command(NamedTuple):
    """A command line: the verb in upper case, and what follows it, without white space at both ends."""

    verb: str
    argument: str


class PathArgument(NamedTuple):
    """The argument of MAIL or RCPT: what stands between `<` and `>`, and the parameters, names in upper case.

    A parameter without `=` has the value None.
    """

    path: str
    parameters: dict[str, str | None]


def parse_command(line: bytes, most_octets: int) -> Command:
    """Split a line (without its CRLF) into verb and argument; raises PermanentFailure.

    AUTH may have more than `most_octets`: its line holds what other clients send in lines of their own.
    """
    if _CONTROL.search(line):
        raise PermanentFailure(replies.BAD_OCTETS, because="control character in a command")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise PermanentFailure(replies.BAD_OCTETS, because="command is not UTF-8") from error
    verb, _, argument = text.partition(" ")
    verb = verb.upper() if verb.isascii() else ""  # some other letters have ASCII ones as their upper case
    if len(line) > most_octets and verb != "AUTH":
        raise PermanentFailure(replies.LINE_TOO_LONG, because="command line too long")
    return Command(verb, argument.strip(" \t"))


def parse_mail(argument: str) -> PathArgument:
    """Read `FROM:<…> parameters`; raises PermanentFailure. White space after the colon is forgiven."""
    match = _FROM.fullmatch(argument)
    if match is None:
        raise PermanentFailure(replies.BAD_MAIL_SYNTAX, because="malformed MAIL")
    return PathArgument(match[1], _parameters(match[2]))


def parse_rcpt(argument: str) -> PathArgument:
    """Read `TO:<…> parameters`; raises PermanentFailure. White space after the colon is forgiven."""
    match = _TO.fullmatch(argument)
    if match is None:
        raise PermanentFailure(replies.BAD_RCPT_SYNTAX, because="malformed RCPT")
    return PathArgument(match[1], _parameters(match[2]))


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    if not text:
        return parameters
    for word in filter(None, _BETWEEN_PARAMETERS.split(text)):
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword) or (equals and not value):
            raise PermanentFailure(replies.BAD_PARAMETER, because="malformed parameter")
        keyword = keyword.upper()
        if keyword in parameters:
            raise PermanentFailure(replies.BAD_PARAMETER, because=f"parameter {keyword} given twice")
        parameters[keyword] = value if equals else None
    return parameters
