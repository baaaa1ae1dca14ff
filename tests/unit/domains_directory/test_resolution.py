"""Where an address leads."""

import re
from collections.abc import Mapping

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.model import (
    ExpansionKind,
    HopKind,
    MailboxDestination,
    NextHop,
    RelayDestination,
    Resolution,
)
from tripost_domains.directory.resolution import route_names
from tripost_domains.directory.service import Directory
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.mail.lookup import MAX_ADDRESSES, MAX_DEPTH, candidates

HOSTNAME = "mail.ours.example"

UNKNOWN, DISABLED = RecipientKind.UNKNOWN, RecipientKind.DISABLED
LOCAL, RELAY, FOREIGN = RecipientKind.LOCAL, RecipientKind.RELAY, RecipientKind.FOREIGN


def cases(names: tuple[str, ...], table: Mapping[str, tuple[object, ...]]) -> pytest.MarkDecorator:
    """A table of cases by their ids."""
    return pytest.mark.parametrize(names, [pytest.param(*row, id=name) for name, row in table.items()])


def full(text: str) -> str:
    """In these tables `ann@` is short for `ann@dest.example`."""
    return re.sub(r"@(?=$|[ ;])", "@dest.example", text)


async def resolve(recipient: str, directory: str, postmaster: str = "") -> Resolution:
    """Resolve over a directory whose lines are separated by semicolons."""
    records = MemoryDirectoryRecords(*full(directory).split("; ")) if directory else MemoryDirectoryRecords()
    clock = FrozenClock()
    asked = Directory(records, clock, postmaster=full(postmaster), hostname=HOSTNAME)
    (resolution,) = await asked.resolve_all([full(recipient)])
    return resolution


def smarthost(host: str, port: int = 25, tls: str = "may") -> NextHop:
    return NextHop(HopKind.SMARTHOST, host, port, tls)


def mx(host: str, port: int = 25, tls: str = "may") -> NextHop:
    return NextHop(HopKind.MX, host, port, tls)


def addresses(resolution: Resolution) -> str:
    return "; ".join(
        found.address if isinstance(found, MailboxDestination) else found.recipient for found in resolution.destinations
    )


@cases(
    ("recipient", "directory", "leads_to"),
    {
        "a mailbox": ("ann@", "mailbox ann@", "ann@"),
        "case does not matter": ("Ann@Dest.Example", "mailbox ann@", "ann@"),
        "needless quotes do not matter": ('"ann"@', "mailbox ann@", "ann@"),
        "an accent after its letter is one with it": ("E\u0301ve+x@", "mailbox \u00e9ve@", "\u00e9ve@"),
        "such an accent in a target": ("a@", "mailbox \u00e9ve@; alias a@ e\u0301ve@ \u00c9ve@", "\u00e9ve@"),
        "letters that grow when they are lowered": ("\u023a" * 32 + "@", "mailbox ann@; alias *@ ann@", "ann@"),
        "an alias": ("info@", "mailbox ann@; alias info@ ann@", "ann@"),
        "a mailbox before an alias of the same name": ("ann@", "mailbox ann@; alias ann@ eve@other.example", "ann@"),
        "the catch-all": ("who@", "mailbox ann@; alias *@ ann@", "ann@"),
        "an alias before the catch-all": (
            "info@",
            "mailbox ann@; mailbox bob@; alias *@ bob@; alias info@ ann@",
            "ann@",
        ),
        "the detail after a plus is left out": ("ann+news@", "mailbox ann@", "ann@"),
        "the whole local part first": ("ann+news@", "mailbox ann@; mailbox ann+news@", "ann+news@"),
        "an alias for one detail": ("ann+news@", "mailbox ann@; mailbox bob@; alias ann+news@ bob@", "bob@"),
        "without the detail before the catch-all": ("ann+news@", "mailbox ann@; mailbox bob@; alias *@ bob@", "ann@"),
        "an alias with a detail": ("info+x@", "mailbox ann@; alias info@ ann@", "ann@"),
        "an alias behind an alias": ("a@", "mailbox ann@; alias a@ b@; alias b@ ann@", "ann@"),
        "each destination once": (
            "a@",
            "mailbox ann@; mailbox bob@; alias a@ ann@ b@; alias b@ ann@ bob@",
            "ann@; bob@",
        ),
        "a loop beside a mailbox": ("a@", "mailbox ann@; alias a@ b@ ann@; alias b@ a@", "ann@"),
        "a target elsewhere keeps its spelling": (
            "a@",
            "domain dest.example; alias a@ Eve@Other.example",
            "Eve@other.example",
        ),
        "so does its accent": ("a@", "domain dest.example; alias a@ E\u0301ve@o.example", "E\u0301ve@o.example"),
        "a target that is gone is left out": ("a@", "mailbox ann@; alias a@ gone@ ann@", "ann@"),
        "a target in another domain of ours": (
            "a@",
            "domain dest.example; mailbox ann@second.example; alias a@ ann@second.example",
            "ann@second.example",
        ),
    },
)
async def test_an_address_of_ours_leads_to(recipient: str, directory: str, leads_to: str) -> None:
    resolution = await resolve(recipient, directory)
    assert addresses(resolution) == full(leads_to)
    assert resolution.kind is RecipientKind.LOCAL


@cases(
    ("recipient", "directory", "kind"),
    {
        "nobody of that name": ("who@", "mailbox ann@", UNKNOWN),
        "letters that grow when they are lowered": ("\u023a" * 32 + "@", "mailbox ann@", UNKNOWN),
        "a catch-all that leads to itself": ("+x@", "mailbox ann@; alias *@ +x@", UNKNOWN),
        "aliases in a circle": ("a@", "alias a@ b@; alias b@ a@", UNKNOWN),
        "an alias for nobody": ("a@", "alias a@ gone@", UNKNOWN),
        "a disabled mailbox": ("bob@", "mailbox bob@ disabled", DISABLED),
        "no catch-all for a disabled mailbox": (
            "bob+x@",
            "mailbox bob@ disabled; mailbox ann@; alias *@ ann@",
            DISABLED,
        ),
        "an alias for a disabled mailbox": ("a@", "mailbox bob@ disabled; alias a@ bob@ gone@", DISABLED),
        "no address at all": ("no address", "mailbox ann@", UNKNOWN),
        "an empty address": ("", "mailbox ann@", UNKNOWN),
    },
)
async def test_an_address_that_leads_nowhere(recipient: str, directory: str, kind: RecipientKind) -> None:
    resolution = await resolve(recipient, directory)
    assert resolution.destinations == ()
    assert resolution.kind is kind
    assert resolution.because


async def test_an_alias_behind_too_many_others_takes_no_mail() -> None:
    chain = "; ".join(f"alias a{number}@ a{number + 1}@" for number in range(MAX_DEPTH + 1))
    directory = f"{chain}; mailbox a{MAX_DEPTH + 1}@"
    assert (await resolve("a0@", directory)).kind is DISABLED
    assert (await resolve("a1@", directory)).kind is LOCAL


async def test_an_alias_for_too_many_takes_no_mail_at_all() -> None:
    """Delivering to the first thousand would look like success."""
    targets = " ".join(f"user{number}@other.example" for number in range(MAX_ADDRESSES))
    resolution = await resolve("all@", f"alias all@ {targets}")
    assert resolution.kind is DISABLED
    assert resolution.destinations == ()


async def test_a_resolution_tells_its_steps() -> None:
    resolution = await resolve("who@", "mailbox ann@; alias *@ team@; alias team@ ann@ x@")
    assert [(step.address, step.kind) for step in resolution.expansions] == [
        ("who@dest.example", ExpansionKind.CATCH_ALL),
        ("team@dest.example", ExpansionKind.ALIAS),
        ("x@dest.example", ExpansionKind.CATCH_ALL),
    ]
    assert addresses(resolution) == "ann@dest.example"


async def test_a_broken_target_is_a_dead_end_beside_the_good_one() -> None:
    resolution = await resolve("a@", "mailbox ann@; alias a@ broken ann@")
    assert addresses(resolution) == "ann@dest.example"
    assert [end.address for end in resolution.dead_ends] == ["broken"]


@cases(
    ("recipient", "directory", "hop"),
    {
        "no route: by MX": ("eve@a.o.example", "", mx("a.o.example")),
        "a route for all": (
            "eve@a.o.example",
            "route * smart.example:2525 encrypt",
            smarthost("smart.example", 2525, "encrypt"),
        ),
        "below a name before all": (
            "eve@a.o.example",
            "route * all.example:25; route .o.example below.example:25",
            smarthost("below.example"),
        ),
        "the longest name": (
            "eve@b.a.o.example",
            "route .o.example short.example:25; route .a.o.example long.example:25",
            smarthost("long.example"),
        ),
        "the exact name first": (
            "eve@a.o.example",
            "route .a.o.example below.example:25; route a.o.example exact.example:25",
            smarthost("exact.example"),
        ),
        "below a name is not the name": ("eve@other.example", "route .o.example below.example:25", mx("other.example")),
        "a route by MX with its own TLS rule": (
            "eve@other.example",
            "route * all.example:25; route other.example mx encrypt",
            mx("other.example", 25, "encrypt"),
        ),
        "an address literal is its own host": ("eve@[192.0.2.7]", "", mx("[192.0.2.7]")),
        "an address literal by the route for all": (
            "eve@[192.0.2.7]",
            "route * all.example:25",
            smarthost("all.example"),
        ),
    },
)
async def test_a_foreign_address_goes_to(recipient: str, directory: str, hop: NextHop) -> None:
    resolution = await resolve(recipient, directory)
    assert resolution.destinations == (RelayDestination(recipient, hop),)
    assert resolution.kind is RecipientKind.FOREIGN


@cases(
    ("directory", "kind"),
    {
        "a route that takes mail from anyone": ("route partner.example mx may anyone", RELAY),
        "a plain route": ("route partner.example mx", FOREIGN),
        "a route for all never opens the relay": ("route * smart.example:25 may anyone", FOREIGN),
        "a route for a top-level domain never opens it": ("route .example smart.example:25 may anyone", FOREIGN),
        "our own domains have no route": ("route partner.example mx may anyone; mailbox eve@partner.example", LOCAL),
    },
)
async def test_who_may_send_to_a_routed_domain(directory: str, kind: RecipientKind) -> None:
    assert (await resolve("eve@partner.example", directory)).kind is kind


@pytest.mark.parametrize(
    "domain",
    [
        "dest.example.evil.example",
        "evil-dest.example",
        "evildest.example",
        "dest-example.example",
        "sub.dest.example",
        "partner.example.evil.example",
        "evil-partner.example",
        "xpartner.example",
        "partner.example",  # of a route for all below it
        "d\u0435st.example",  # a Cyrillic letter
        "xn--dst-jdd.example",
    ],
)
async def test_what_looks_like_a_domain_of_ours_is_none(domain: str) -> None:
    """So no stranger may send there through us, whatever the local part promises."""
    directory = "mailbox ann@dest.example; route .partner.example mx may anyone"
    for local_part in ("ann", "ann%dest.example", "dest.example!ann", '"ann@dest.example"'):
        assert (await resolve(f"{local_part}@{domain}", directory)).kind is FOREIGN


@pytest.mark.parametrize("domain", ["dest.example", "DEST.Example", "\uff44est.example", "dest\u3002example"])
async def test_our_domain_is_ours_however_it_is_spelled(domain: str) -> None:
    assert (await resolve(f"ann@{domain}", "mailbox ann@dest.example")).kind is LOCAL


@cases(
    ("recipient", "postmaster", "directory", "leads_to"),
    {
        "kept in the domain's own mailbox": ("postmaster@", "", "mailbox ann@", "postmaster@"),
        "abuse goes to postmaster": ("Abuse+x@", "", "mailbox ann@", "postmaster@"),
        "to the configured address": ("abuse@", "ann@", "mailbox ann@", "ann@"),
        "to a configured address elsewhere": ("postmaster@", "eve@other.example", "mailbox ann@", "eve@other.example"),
        "a configured postmaster without a mailbox": ("postmaster@", "postmaster@", "mailbox ann@", "postmaster@"),
        "the domain's own alias first": (
            "postmaster@",
            "eve@other.example",
            "mailbox ann@; alias postmaster@ ann@",
            "ann@",
        ),
        "the domain's catch-all first": ("postmaster@", "eve@other.example", "mailbox ann@; alias *@ ann@", "ann@"),
        "without a domain: the oldest domain's": (
            "postmaster",
            "",
            "mailbox ann@; mailbox eve@second.example",
            "postmaster@",
        ),
        "without a domain: the configured address": ("Postmaster", "ann@", "mailbox ann@", "ann@"),
        "without a domain: one elsewhere": ("postmaster", "eve@other.example", "mailbox ann@", "eve@other.example"),
        "at our host name": ("Postmaster@mail.ours.example", "", "mailbox ann@", "postmaster@"),
        "who answers a bounce": ("MAILER-DAEMON@mail.ours.example", "ann@", "mailbox ann@", "ann@"),
        "who answers a bounce, and our name is a domain": (
            "mailer-daemon@mail.ours.example",
            "ann@",
            "mailbox ann@; domain mail.ours.example",
            "ann@",
        ),
    },
)
async def test_mail_for_the_postmaster_is_always_taken(
    recipient: str, postmaster: str, directory: str, leads_to: str
) -> None:
    """RFC 5321 §4.5.1, RFC 2142 §4."""
    resolution = await resolve(recipient, directory, postmaster)
    assert addresses(resolution) == full(leads_to)
    assert resolution.kind is RecipientKind.LOCAL  # a stranger may write to it


async def test_the_trace_tells_whom_mail_for_us_as_a_host_leads_to() -> None:
    resolution = await resolve("MAILER-DAEMON@mail.ours.example", "mailbox ann@", "ann@")
    (expansion,) = resolution.expansions
    assert (expansion.kind, expansion.targets) == (ExpansionKind.POSTMASTER, ("ann@dest.example",))


@cases(
    ("recipient", "directory", "kind"),
    {
        "any other name at our host name": ("eve@mail.ours.example", "mailbox ann@", FOREIGN),
        "a name that has a mailbox": (
            "mailer-daemon@mail.ours.example",
            "mailbox mailer-daemon@mail.ours.example",
            LOCAL,
        ),
        "who answers a bounce, at a domain of ours": ("mailer-daemon@", "mailbox ann@", UNKNOWN),
    },
)
async def test_our_host_name_has_the_reserved_names_only(recipient: str, directory: str, kind: RecipientKind) -> None:
    resolution = await resolve(recipient, directory)
    assert resolution.kind is kind
    assert resolution.expansions == ()


async def test_a_cluster_without_domains_has_no_postmaster() -> None:
    assert (await resolve("postmaster", "")).kind is RecipientKind.UNKNOWN


async def test_foreign_reserved_names_are_foreign() -> None:
    assert (await resolve("postmaster@other.example", "mailbox ann@")).kind is RecipientKind.FOREIGN


def test_candidates_have_a_base_only_where_there_is_one() -> None:
    assert candidates("Ann+News+x") == ("ann+news+x", "ann")
    assert candidates("+x") == ("+x",)
    assert candidates("ann") == ("ann",)


def test_routes_are_named_from_the_most_specific_on() -> None:
    assert route_names("a.b.example") == ("a.b.example", ".b.example", ".example", "*")
