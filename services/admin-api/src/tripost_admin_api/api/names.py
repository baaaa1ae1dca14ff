"""Names as operators type them, made canonical, or refused in words that say what is accepted; pure."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from tripost_shared.mail.address import Address, InvalidAddress, normalise_domain

CATCH_ALL: Final = "*"
EVERYTHING: Final = frozenset({"0.0.0.0/0", "::/0"})


def domain(text: str) -> str:
    """Give a domain name in lower-case A-labels; raises ValueError."""
    if "@" in text:
        raise ValueError(f"{text!r} is no domain name but looks like an address; give what stands after the @")
    try:
        name = normalise_domain(text.strip())
    except InvalidAddress as error:
        raise ValueError(
            f"{text!r} is no domain name ({error}); accepted is one like local.test or bücher.example"
        ) from error
    if name.startswith("["):
        raise ValueError(f"{text!r} is an address literal; accepted is a domain name like local.test")
    return name


def address(text: str) -> Address:
    """Read any mail address; raises ValueError."""
    try:
        return Address.parse(text.strip())
    except InvalidAddress as error:
        raise ValueError(f"{text!r} is no mail address ({error}); accepted is one like user@local.test") from error


def mailbox(text: str) -> str:
    """Give a mailbox's address in the form in which it is stored; raises ValueError.

    Its local part names a folder, so a slash and what needs quotes are not accepted.
    """
    read = address(text)
    if read.local_part == CATCH_ALL:
        raise ValueError("a mailbox cannot be named *; a catch-all is an alias: *@domain")
    if "/" in read.local_part or str(read).startswith('"'):
        raise ValueError(f"{text!r}: a mailbox's name has no slash, no spaces and no quotes")
    return _of_a_domain(read, text).key


def alias(text: str) -> str:
    """Give an alias' address in the form in which it is stored, `*@domain` for a catch-all; raises ValueError."""
    return _of_a_domain(address(text), text).key


def target(text: str) -> str:
    """Give where an alias leads: any mail address; raises ValueError."""
    read = address(text)
    if read.local_part == CATCH_ALL:
        raise ValueError("a target is one address; * stands for a catch-all on the other side only")
    return str(read)


def grant_pattern(text: str) -> str:
    """Give an address, or `@domain` for all of a domain; raises ValueError."""
    if text.strip().startswith("@"):
        return "@" + domain(text.strip()[1:])
    return address(text).key


def route_domain(text: str) -> str:
    """Give `name`, `.name` for all below it, or `*`; raises ValueError."""
    text = text.strip()
    if text == "*":
        return text
    if text.startswith("*."):
        raise ValueError(f"{text!r}: for all domains below {text[2:]} write {text[1:]!r}")
    return "." + domain(text[1:]) if text.startswith(".") else domain(text)


def host(text: str) -> str:
    """Give a host's name or its bare IPv4 or IPv6 address; raises ValueError."""
    text = text.strip()
    bare = text.removeprefix("[").removesuffix("]").removeprefix("IPv6:")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if ":" in text:
        raise ValueError(f"{text!r} is no host; the port is given apart")
    try:
        return domain(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no host; accepted is a name or an IPv4 or IPv6 address") from error


def network(text: str) -> str:
    """Give a network in CIDR form; raises ValueError. All of the Internet is refused: that would be an open relay."""
    text = text.strip()
    try:
        given: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; accepted is one like 192.0.2.0/24 or 2001:db8::/32") from None
    if "/" in text and ip_address(text.partition("/")[0]) != given.network_address:
        raise ValueError(f"{text!r} has bits set behind its prefix; {given} is the network")
    if str(given) in EVERYTHING:
        raise ValueError("all of the Internet may not relay here; name your own networks")
    return str(given)


def halves(key: str) -> tuple[str, str]:
    """Give the local part without quotes, in lower case, and the domain of an address in its stored form."""
    read = Address.parse(key)
    return read.local_part.lower(), read.domain


def joined(local_part: str, domain_name: str) -> str:
    """Give the address of a stored local part and domain."""
    return Address(local_part, domain_name).key


def _of_a_domain(read: Address, text: str) -> Address:
    if read.domain.startswith("["):
        raise ValueError(f"{text!r} is at an address literal; accepted is an address at one of your domains")
    return read
