"""What a sender is told of a recipient to whom an alias led: nothing of where it leads (RFC 3464 §4.2); pure.

Anybody may write to an alias, with a reverse-path of his choice, so a bounce would be the way to ask for the private
address behind it. The trace has all of it.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tripost_domains.bounce.report import ReportedRecipient
from tripost_shared.contracts.queue import MAILBOX_HOP
from tripost_shared.mail.address import folded, u_labels
from tripost_shared.mail.lookup import DETAIL_SEPARATOR
from tripost_shared.mail.reply import SmtpReply

WITHHELD: Final = "(withheld)"
UNNAMED_HOST: Final = "the next hop"  # stands for a host's name that must not be told

# As replies name one; what stands before it lets a search begin once a word, not at each of its characters.
_ADDRESS: Final = r"(?<![^\s<>()\[\],;:\"'=@])[^\s<>()\[\],;:\"'=@]+@[\w-]+(?:\.[\w-]+)*"
_SHORTEST_USER: Final = 3  # octets of a local part without its detail: `a` of `a+list` would be every `a` of a sentence
_DOMAIN: Final = re.compile(r"(?:[\w-]+\.)+[^\W\d_][\w-]*")  # no IPv4 address
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_BRACKETS: Final = re.compile(r"[\[\]]")
_PORT: Final = re.compile(r":\d+$")
_NOTHING: Final = re.compile(r"(?!)")


def as_told(failures: Sequence[ReportedRecipient]) -> list[ReportedRecipient]:
    """Put the address that the sender wrote to in the place of each one that it led to.

    In what was said, too: those addresses are replaced there, and with them go the local part alone (also without its
    detail and quotes), the domain and those above it, and the names and addresses of hosts. Those of one alias of whom
    the same is said then are told of once.
    """
    written_to = {folded(failure.address): failure.written_to for failure in failures if _is_forwarded(failure)}
    if not written_to:
        return list(failures)
    return list(dict.fromkeys(_told(failure, written_to) for failure in failures))


def _is_forwarded(failure: ReportedRecipient) -> bool:
    """Tell whether the sender wrote to another address than the recipient's, as addresses are compared."""
    return folded(failure.written_to) not in ("", folded(failure.address))


def _told(failure: ReportedRecipient, written_to: Mapping[str, str]) -> ReportedRecipient:
    if not _is_forwarded(failure):
        addresses, secrets = re.compile(_ADDRESS), _NOTHING
        told = failure
    else:
        addresses = re.compile(f"{re.escape(_composed(failure.address))}|{_ADDRESS}", re.IGNORECASE)
        secrets = re.compile("|".join(_secrets(failure)), re.IGNORECASE)
        host = UNNAMED_HOST if failure.remote_mta else ""
        told = replace(failure, address=failure.written_to, written_to="", remote_mta=host, places=())

    def tell(reply: SmtpReply) -> SmtpReply:
        text = "".join(_words(_composed(reply.text), addresses, written_to, secrets))
        return SmtpReply(reply.code, reply.enhanced, text)

    return replace(told, reply=tell(failure.reply), last_reply=failure.last_reply and tell(failure.last_reply))


def _words(
    text: str, addresses: re.Pattern[str], written_to: Mapping[str, str], secrets: re.Pattern[str]
) -> Iterator[str]:
    """Give the text in pieces: for each address that is known the one to be told, and the rest without secrets."""
    end = 0
    for address in addresses.finditer(text):
        instead = written_to.get(folded(address[0]))
        if instead is not None:
            yield secrets.sub(WITHHELD, text[end : address.start()])
            yield instead
            end = address.end()
    yield secrets.sub(WITHHELD, text[end:])


def _secrets(failure: ReportedRecipient) -> Iterator[str]:
    """Give patterns of what would tell of the recipient; what the sender's own address has in it is no secret."""
    local, _, domain = failure.address.rpartition("@")
    known_local, _, known_domain = failure.written_to.rpartition("@")
    names = {domain, failure.remote_mta, *failure.places}
    names.update(name for place in failure.places for name in _BRACKETS.split(_PORT.sub("", place)))
    known_domain = folded(known_domain)
    known = {"", MAILBOX_HOP, known_domain}
    above = {known_domain, *_parents(known_domain)}
    tops = {_top(name, above) for name in names if folded(name) not in known}
    for name in _longest_first(tops | {u_labels(top) for top in tops}):
        yield rf"(?<![\w.-])[\w.-]*{re.escape(name)}(?:[\w.-]*\w)?"  # all of a word that has it: `mx.dest.example`
    known_users = {folded(user) for user in _users(known_local)}
    for user in _longest_first(user for user in _users(local) if folded(user) not in known_users):
        yield rf"(?<!\w){re.escape(user)}(?!\w)"


def _parents(domain: str) -> list[str]:
    """Give the domains above one that have two labels or more, the shortest first; none above what is no domain."""
    labels = domain.split(".") if _DOMAIN.fullmatch(domain) else []
    return [".".join(labels[-count:]) for count in range(2, len(labels))]


def _top(name: str, known: Collection[str]) -> str:
    """Give the shortest domain above the name that the sender does not know, else the name: who finds it finds both."""
    return next((parent for parent in _parents(name) if folded(parent) not in known), name)


def _users(local: str) -> set[str]:
    """Give what replies call a mailbox: its local part, that without quotes, and that without its detail."""
    bare = _composed(_QUOTED_PAIR.sub(r"\1", local[1:-1]) if local.startswith('"') else local)
    user, separator, _ = bare.partition(DETAIL_SEPARATOR)
    users = {_composed(local), bare, user if separator and len(user.encode()) >= _SHORTEST_USER else ""}
    return {user for user in users if user.strip()}


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=len, reverse=True)


def _composed(text: str) -> str:
    """Put accents in one with their letters: next hops do it either way."""
    return unicodedata.normalize("NFC", text)
