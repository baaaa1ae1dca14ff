"""Names as operators type them, made canonical, or refused in words that say what is accepted; pure."""

import re
from ipaddress import IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Final

from tripost_shared.access.patterns import ADDRESS_LITERAL
from tripost_shared.contracts.access import LITERAL
from tripost_shared.contracts.bans import ban_name, banned_network
from tripost_shared.mail.address import MAX_LOCAL_PART_OCTETS, Address, InvalidAddress, folded, normalise_domain
from tripost_shared.mail.identifier import is_message_id, is_session_id
from tripost_shared.networks import ZONE_SIGN, Network, parse_network

CATCH_ALL: Final = "*"
NULL_PATH: Final = "<>"
SAMPLE_ID: Final = "1k3v9q2m8f0abcde.1"
WIDEST_RELAY_PREFIX: Final = MappingProxyType({4: 8, 6: 16})  # 10.0.0.0/8 is a network of one's own; nothing wider is
MAPPED: Final = IPv6Network("::ffff:0:0/96")  # RFC 4291 §2.5.5.2; such a client's address is taken as the IPv4 one
IPV4_BEGINS_AT: Final = MappingProxyType(  # in IPv6 networks that hold all of IPv4: the bit before its first one
    {
        IPv6Network("::/96"): 96,  # RFC 4291 §2.5.5.1
        MAPPED: 96,
        IPv6Network("64:ff9b::/96"): 96,  # NAT64 (RFC 6052 §2.1)
        IPv6Network("64:ff9b:1::/48"): 96,  # NAT64 of one's own (RFC 8215), at its furthest right
        IPv6Network("2001::/32"): 96,  # Teredo (RFC 4380 §4)
        IPv6Network("2002::/16"): 16,  # 6to4 (RFC 3056 §2)
    }
)
TOKEN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LARGEST_SCORE: Final = 1000


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


def mail_domain(text: str) -> str:
    """Give the name of a domain that can have mail, as `domain` does; raises ValueError for what is no name in the DNS.

    Mail domains are fully qualified (RFC 5321 §2.3.5), and no top-level domain is a number (RFC 3696 §2).
    """
    name = domain(text)
    if "." not in name:
        raise ValueError(f"{text!r} is not fully qualified, so it can have no mail; accepted is one like local.test")
    if name.rpartition(".")[2].isdecimal():
        raise ValueError(f"{text!r} ends with a number, as no domain name does; accepted is one like local.test")
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
    key = _stored(_of_a_domain(read, text), text)
    if "/" in key or key.startswith('"'):
        raise ValueError(f"{text!r}: a mailbox's name has no slash, no spaces and no quotes")
    return key


def alias(text: str) -> str:
    """Give an alias' address in the form in which it is stored, `*@domain` for a catch-all; raises ValueError."""
    return _stored(_of_a_domain(address(text), text), text)


def target(text: str) -> str:
    """Give where an alias leads: any mail address; raises ValueError."""
    read = address(text)
    if read.local_part == CATCH_ALL:
        raise ValueError("a target is one address; * stands for a catch-all on the other side only")
    return str(read)


def grant_pattern(text: str) -> str:
    """Give an address, or `@domain` for all of a domain, to be granted; raises ValueError."""
    pattern = granted(text)
    local_part, _, domain_name = pattern.rpartition("@")
    if local_part == CATCH_ALL:
        raise ValueError(f"{text!r} would grant one address, whose name is *; for all of a domain give @{domain_name}")
    return pattern


def granted(text: str) -> str:
    """Give the stored form of a grant, `*@domain` too, which could be made in former times; raises ValueError."""
    if text.strip().startswith("@"):
        return "@" + domain(text.strip()[1:])
    return _stored(address(text), text)


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
    """Give a network in CIDR form; raises ValueError."""
    text = text.strip()
    try:
        given = parse_network(text)
    except ValueError:
        zoned = f" without a zone ({ZONE_SIGN})" if ZONE_SIGN in text else ""
        raise ValueError(f"{text!r} is no network; accepted is one{zoned} like 192.0.2.0/24 or 2001:db8::/32") from None
    if "/" in text and ip_address(text.partition("/")[0]) != given.network_address:
        raise ValueError(f"{text!r} has bits set behind its prefix; {given} is the network")
    if isinstance(given, IPv6Network) and given.subnet_of(MAPPED):
        raise ValueError(f"{text!r} holds IPv4 addresses in IPv6's form; give it in IPv4's, like 192.0.2.0/24")
    return str(given)


def relay_network(text: str) -> str:
    """Give a network whose clients may relay; raises ValueError for more than anyone's own: an open relay, or half."""
    return _of_ones_own(text, "relay for")


def xclient_network(text: str) -> str:
    """Give a network whose clients may use XCLIENT, and so be whom they like; raises ValueError as for relaying."""
    return _of_ones_own(text, "believe")


def _of_ones_own(text: str, purpose: str) -> str:
    given = ip_network(network(text))
    widest, within = _widest_to_relay_for(given)
    if given.prefixlen < widest:
        raise ValueError(
            f"{given} is too much of the Internet to {purpose}; accepted is a network of your own, "
            f"{within} of /{widest} at the widest"
        )
    return str(given)


def _widest_to_relay_for(given: Network) -> tuple[int, str]:
    """Give the shortest prefix, and where it holds: what has IPv4's networks in it is measured by these."""
    widest = WIDEST_RELAY_PREFIX[given.version]
    if isinstance(given, IPv6Network) and given.prefixlen >= widest:
        for holder, begins_at in IPV4_BEGINS_AT.items():
            if given.overlaps(holder):
                return begins_at + WIDEST_RELAY_PREFIX[4], f"within {holder}, which holds all of IPv4,"
    return widest, f"with IPv{given.version}"


def proxy_network(text: str) -> str:
    """Give a network whose hosts are believed who their clients are; raises ValueError for more than anyone's own."""
    given = ip_network(network(text))
    widest = WIDEST_RELAY_PREFIX[given.version]
    if given.prefixlen < widest:
        raise ValueError(
            f"{given} is too much of the Internet to believe; accepted is the network of your proxies, "
            f"with IPv{given.version} of /{widest} at the widest"
        )
    return str(given)


def exempt_network(text: str) -> str:
    """Give a network whose clients block lists and greylist leave alone; raises ValueError for the whole Internet."""
    given = ip_network(network(text))
    if given.prefixlen == 0:
        raise ValueError(f"{given} would exempt every client; disable the checks dnsbl and greylist instead")
    return str(given)


def banned(text: str) -> str:
    """Give an address or a network to ban, as bans are kept; raises ValueError."""
    given = text.strip()
    return ban_name(banned_network(network(given) if "/" in given else client_address(given)))


def host_pattern(text: str) -> str:
    """Give a host's name, or `.name` for all below it, as rules have it; raises ValueError."""
    if "*" in text:
        raise ValueError(f"{text!r}: for all names below a domain begin with a dot, as .example.org")
    return route_domain(text)


def helo_pattern(text: str) -> str:
    """Give what a client may say in HELO, as rules have it: as `host_pattern`, or a literal; raises ValueError."""
    given = text.strip().lower()
    return given if given == LITERAL or ADDRESS_LITERAL.fullmatch(given) else host_pattern(given)


def client_address(text: str) -> str:
    """Give a client's address as sessions are recorded under; raises ValueError."""
    given = "" if ZONE_SIGN in text else text.strip()  # `ipaddress` takes a zone, under which nobody is recorded
    try:
        address = ip_address(given.removeprefix("[").removesuffix("]").removeprefix("IPv6:"))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address; accepted is one like 192.0.2.7 or 2001:db8::7") from None
    return str(getattr(address, "ipv4_mapped", None) or address)


def searched_address(text: str) -> str:
    """Give an address to search for, in the form of its key; `@domain` for all of a domain; raises ValueError."""
    text = text.strip()
    if text.startswith("@"):
        return "@" + domain(text[1:])
    if text.lower() == "postmaster":  # the one recipient without a domain (RFC 5321 §4.5.1)
        return text.lower()
    try:
        return Address.parse(text).key
    except InvalidAddress as error:
        raise ValueError(f"{text!r} is no mail address ({error}); accepted is an address, or @domain") from error


def searched_sender(text: str) -> str:
    """Give a reverse-path to search for, `<>` for the null one; raises ValueError."""
    return text.strip() if text.strip() == NULL_PATH else searched_address(text)


def message_or_session(text: str) -> str:
    """Give the id of a message or of a session; raises ValueError."""
    text = text.strip()
    if not (is_message_id(text) or is_session_id(text)):
        raise ValueError(f"{text!r} is no id; accepted is one like {SAMPLE_ID}, or a session's, without .1")
    return text


def token_name(text: str) -> str:
    """Give a token's name; raises ValueError."""
    if not TOKEN_NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is no token's name; accepted are 1 to 64 of a-z, 0-9, dot, hyphen and underscore, "
            "a letter or digit first"
        )
    return text


def app_password_name(text: str) -> str:
    """Give an application password's name; raises ValueError."""
    if not TOKEN_NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is no application password's name; accepted are 1 to 64 of a-z, 0-9, dot, hyphen and "
            "underscore, a letter or digit first"
        )
    return text


def score(value: float) -> float:
    """Give a score; raises ValueError."""
    if not -LARGEST_SCORE <= value <= LARGEST_SCORE:  # nan is neither
        raise ValueError(f"accepted is a number from -{LARGEST_SCORE} to {LARGEST_SCORE}")
    return value


def halves(key: str) -> tuple[str, str]:
    """Give the local part without quotes, folded, and the domain of an address in its stored form."""
    read = Address.parse(key)
    return folded(read.local_part), read.domain


def joined(local_part: str, domain_name: str) -> str:
    """Give the address of a stored local part and domain."""
    return Address(local_part, domain_name).key


def _of_a_domain(read: Address, text: str) -> Address:
    if read.domain.startswith("["):
        raise ValueError(f"{text!r} is at an address literal; accepted is an address at one of your domains")
    return read


def _stored(read: Address, text: str) -> str:
    """Give an address' key, which must be an address itself: some letters have more octets when they are lowered."""
    if len(folded(read.local_part).encode()) > MAX_LOCAL_PART_OCTETS:
        raise ValueError(
            f"{text!r}: what stands before the @ is longer than {MAX_LOCAL_PART_OCTETS} octets in lower case (NFC)"
        )
    return read.key
