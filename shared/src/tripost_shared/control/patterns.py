"""How rules name addresses: one, all of a domain, or all of the domains below one."""

from functools import lru_cache
from typing import Final

from tripost_shared.access.patterns import spellings
from tripost_shared.contracts.control import NULL_PATH
from tripost_shared.mail.address import Address, InvalidAddress, normalise_domain

ACCEPTED: Final = "an address, @example.org for a domain, or .example.org for all domains below it"


def canonical_pattern(text: str) -> str:
    """Give the form in which a pattern is stored and compared; raises ValueError that says what is accepted."""
    try:
        if text.startswith("@"):
            return "@" + normalise_domain(text[1:])
        if text.startswith("."):
            return "." + normalise_domain(text[1:])
        if text.startswith("*@"):
            raise InvalidAddress("all of a domain is @ and its name")
        return Address.parse(text).key
    except InvalidAddress as error:
        raise ValueError(f"{text!r} is neither of: {ACCEPTED} ({error})") from None


@lru_cache(maxsize=4096)
def address_spellings(address: str) -> frozenset[str]:
    """Give all patterns that match an address as edge has it; NULL_PATH alone for "".

    `ann@a.b.example` gives itself, `@a.b.example`, `.b.example` and `.example`: a domain is not below itself.
    """
    if not address:
        return frozenset({NULL_PATH})
    try:
        parsed = Address.parse(address)
    except InvalidAddress:  # `postmaster` alone
        return frozenset({address.lower()})
    if parsed.domain.startswith("["):
        return frozenset({parsed.key, f"@{parsed.domain}"})
    return frozenset({parsed.key, f"@{parsed.domain}", *spellings(parsed.domain)[1:]})
