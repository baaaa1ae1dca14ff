"""Who a From field says has written a message (RFC 5322 §3.6.2, §3.4), read so that no other reader sees another one.

The grammar is held to, groups and obsolete forms left out. A display name, or a comment, may say what it likes. But
where a reader that knows less of quotes, comments and encoded words would find an address in it, that one is an author
as well, and so must be one that the login may write as.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tripost_edge.session.encoded_words import with_words_decoded
from tripost_shared.mail.address import Address, InvalidAddress
from tripost_shared.mail.header import unfold

MAX_AUTHORS: Final = 20  # each may cost a question to domains
MAX_OCTETS: Final = 8 * 1024  # of a field; honest ones need a tenth

_WORD: Final = r"[^\s<>()\[\],;:\"@]"
# Looked for where a word begins, and with no second try within it: else the time grows with the square of a word.
_ADDRESS_LIKE: Final = re.compile(rf"(?<!{_WORD}){_WORD}++@{_WORD}++")
_STRUCTURE: Final = re.compile(r"[<>,;]")  # by which a careless reader would cut a display name
_ENCODED: Final = re.compile(r"=\?|\?=")


class NoAuthors(ValueError):
    """The field names nobody, or not in a way that all readers take alike; the message says why."""


@dataclass(slots=True)
class _Mailbox:
    """One member of the list, in pieces: comments taken out of it."""

    plain: list[str] = field(default_factory=list)  # outside the angle brackets
    unquoted: list[str] = field(default_factory=list)  # of that, what is in no quotes
    angle: list[str] | None = None  # inside them; None: there are none
    comments: list[str] = field(default_factory=list)


def authors_of(values: tuple[bytes, ...]) -> tuple[str, ...]:
    """Give the addresses of the only From field, each once, canonical; raises NoAuthors.

    `values` are those of all From fields, raw, after the colon.
    """
    if len(values) != 1:
        raise NoAuthors("no From field" if not values else "more than one From field")
    if len(values[0]) > MAX_OCTETS:
        raise NoAuthors("From field too long")
    found: dict[str, None] = {}
    for mailbox in _Scanner(unfold(values[0]).decode("utf-8", "surrogateescape")).mailboxes():
        found.update(dict.fromkeys(_addresses(mailbox)))
        if len(found) > MAX_AUTHORS:
            raise NoAuthors(f"more than {MAX_AUTHORS} authors")
    return tuple(found)


def _addresses(mailbox: _Mailbox) -> Iterator[str]:
    if mailbox.angle is None:
        yield _parsed("".join(mailbox.plain))
        shown = mailbox.comments
    else:
        yield _parsed("".join(mailbox.angle))
        shown = ["".join(mailbox.plain), *mailbox.comments]
        yield from _written_out("".join(mailbox.unquoted))
    for text in map(with_words_decoded, shown):
        if "@" in text and _STRUCTURE.search(text):
            yield from map(_parsed, _address_like(text))


def _address_like(text: str) -> list[str]:
    """Find what looks like an address. Apostrophes at both its ends are quotes, as some programs write them."""
    if "@" not in text:
        return []
    found = _ADDRESS_LIKE.findall(text)
    return [each[1:-1] if each[0] == each[-1] == "'" else each for each in found]


def _written_out(name: str) -> Iterator[str]:
    """Give the addresses in the unquoted part of a display name, as some programs write one; raises NoAuthors.

    An @ that is in none may make an address of what stands around it, quotes and literals too, for other readers.
    """
    found = _address_like(name)
    if len(found) != name.count("@"):
        raise NoAuthors("misplaced @ in the From field")
    yield from map(_parsed, found)


def _parsed(text: str) -> str:
    try:
        address = Address.parse(text.strip(" \t"))
    except InvalidAddress as error:
        raise NoAuthors(f"not an address in the From field: {error}") from error
    if _ENCODED.search(address.local_part):
        raise NoAuthors("encoded word in an address")
    return str(address)


class _Scanner:
    """Cuts an address list at its commas, character by character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def mailboxes(self) -> Iterator[_Mailbox]:
        """Give the members of the list; raises NoAuthors."""
        mailbox = _Mailbox()
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            match character:
                case "(":
                    mailbox.comments.append(self._comment())
                    self._put(mailbox, " ")
                case '"':
                    self._put(mailbox, self._quoted(), is_quoted=True)
                case "[":
                    self._put(mailbox, self._literal())
                case "<" if mailbox.angle is None:
                    mailbox.angle = self._angle(mailbox)
                case ",":
                    yield mailbox
                    mailbox = _Mailbox()
                case "<" | ">" | ":" | ";" | "\\" | ")" | "]":
                    raise NoAuthors(f"misplaced {character} in the From field")
                case _:
                    self._put(mailbox, character)
        yield mailbox

    def _put(self, mailbox: _Mailbox, text: str, *, is_quoted: bool = False) -> None:
        if mailbox.angle is not None and text.strip(" \t"):
            raise NoAuthors("more behind an address in the From field")
        mailbox.plain.append(text)
        if not is_quoted:
            mailbox.unquoted.append(text)

    def _angle(self, mailbox: _Mailbox) -> list[str]:
        """Give what stands up to `>`, which opens no second time."""
        inside: list[str] = []
        while (character := self._next()) != ">":
            if character == '"':
                inside.append(self._quoted())
            elif character == "[":
                inside.append(self._literal())
            elif character == "(":
                mailbox.comments.append(self._comment())
                inside.append(" ")
            else:
                inside.append(character)
        return inside

    def _quoted(self) -> str:
        """Give a quoted string with its quotes."""
        start = self._at - 1
        while (character := self._next()) != '"':
            if character == "\\":
                self._next()
        return self._text[start : self._at]

    def _literal(self) -> str:
        start = self._at - 1
        while self._next() != "]":
            pass
        return self._text[start : self._at]

    def _comment(self) -> str:
        """Give a comment's text; comments nest (RFC 5322 §3.2.2)."""
        start, depth = self._at, 1
        while depth:
            character = self._next()
            if character == "\\":
                self._next()
            depth += (character == "(") - (character == ")")
        return self._text[start : self._at - 1]

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise NoAuthors("quotes, brackets or a comment without an end in the From field")
        self._at += 1
        return self._text[self._at - 1]
