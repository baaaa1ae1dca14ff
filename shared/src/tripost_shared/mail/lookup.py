"""How an address of ours is looked up, as domains does it and admin-api, which refuses what is in vain, follows it."""

from typing import Final

from tripost_shared.mail.address import folded

MAX_DEPTH: Final = 10  # aliases behind aliases
MAX_ADDRESSES: Final = 1000  # that one recipient may lead to, those on the way included
DETAIL_SEPARATOR: Final = "+"  # RFC 5233 §1: user+detail
RESERVED: Final = frozenset({"postmaster", "abuse"})  # RFC 5321 §4.5.1, RFC 2142 §4


def candidates(local_part: str) -> tuple[str, ...]:
    """Give what to look for, in this order: the whole local part, then without its detail; folded."""
    whole = folded(local_part)
    base, plus, _ = whole.partition(DETAIL_SEPARATOR)
    return (whole, base) if plus and base else (whole,)


def relayable_from_anyone(route: str) -> bool:
    """Tell whether a route may take mail from any client: not one for all domains, or for all of a top-level domain."""
    return "." in route.removeprefix(".")
