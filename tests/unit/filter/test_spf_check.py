"""The SPF check (RFC 7208)."""

import pytest

from tripost_filter.adapters import pyspf
from tripost_filter.checks.spf import Spf
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import Resolver
from tripost_shared.dns.table import TableResolver
from tripost_shared.mail.client import Client
from unit.filter.mails import LOGGED_IN, STRANGER, CachedTable, SilentResolver, a_mail

NINE_LOOKUPS = " ".join(f"a:a{n}.example" for n in range(9))
TEN_LOOKUPS = f"{NINE_LOOKUPS} a:a9.example"
OF_TEN = tuple(f"a{n}.example A 198.51.100.7" for n in range(10))


def a_check(resolver: Resolver, *, refuse_fail: bool = True) -> Spf:
    return Spf(resolver, FrozenClock(), "mx.dest.example", refuse_fail=refuse_fail)


async def found(*records: str, client: Client = STRANGER, reverse_path: str = "ann@sender.example") -> Finding:
    """Give what the check finds, once with an empty cache and once with a full one; both must agree."""
    mail = a_mail(client, reverse_path=reverse_path)
    finding = await a_check(TableResolver(*records)).examine(mail)
    assert finding is not None
    assert a_check(CachedTable(*records)).examine_at_once(mail) == finding
    return finding


@pytest.mark.parametrize(
    ("records", "result"),
    [
        pytest.param(["sender.example TXT v=spf1 ip4:192.0.2.0/24 -all"], "pass", id="permitted network"),
        pytest.param(["sender.example TXT v=spf1 ip4:198.51.100.0/24 -all"], "fail", id="not permitted"),
        pytest.param(["sender.example TXT v=spf1 ~all"], "softfail", id="probably not permitted"),
        pytest.param(["sender.example TXT v=spf1 ?all"], "neutral", id="the domain does not say"),
        pytest.param(["sender.example TXT hello"], "none", id="no policy"),
        pytest.param([], "none", id="no such domain"),
        pytest.param(["sender.example TXT v=spf1 -all", "sender.example TXT v=spf1 +all"], "permerror", id="two"),
        pytest.param(["sender.example TXT v=spf1 what -all"], "permerror", id="unknown mechanism"),
        pytest.param(["sender.example TXT SERVFAIL"], "temperror", id="DNS does not answer"),
        pytest.param(["sender.example TXT v=spf1 Redirect=b.example", "b.example TXT v=spf1 +all"], "pass", id="case"),
        pytest.param(["sender.example TXT v=spf1 x=1 x=2 -all"], "fail", id="unknown modifier twice"),
        pytest.param(["sender.example TXT v=spf1 x=%{q} -all"], "permerror", id="malformed macro, unknown modifier"),
        pytest.param(["sender.example TXT v=spf1 a:%{d0} -all"], "permerror", id="macro that keeps no label"),
        pytest.param(["sender.example TXT v=spf1 " + "a " * 3000], "permerror", id="record too long"),
        pytest.param(["sender.example TXT v=spf1" + " a" * 257], "permerror", id="record with too many terms"),
        pytest.param(
            ["sender.example TXT v=spf1 " + " ".join(f"include:i{n}.example" for n in range(11))]
            + [f"i{n}.example TXT v=spf1 ?all" for n in range(11)],
            "permerror",
            id="more than ten look-ups (§4.6.4)",
        ),
        pytest.param(
            [f"sender.example TXT v=spf1 {TEN_LOOKUPS} ip4:192.0.2.7 redirect=b.example", *OF_TEN],
            "pass",
            id="ten look-ups, and a redirect that is not followed (§4.6.4)",
        ),
        pytest.param(
            [
                "sender.example TXT v=spf1 include:a.example ip4:192.0.2.7 redirect=b.example",
                f"a.example TXT v=spf1 {NINE_LOOKUPS} redirect=c.example",
                *OF_TEN,
                "c.example TXT v=spf1 ?all",
            ],
            "permerror",
            id="an included redirect that is the eleventh look-up",
        ),
        pytest.param(
            [
                "sender.example TXT v=spf1 include:a.example redirect=c.example",
                "a.example TXT v=spf1 ip4:192.0.2.7 redirect=b.example",
                "c.example TXT v=spf1 -all",
            ],
            "pass",
            id="a match before any redirect",
        ),
        pytest.param(
            [
                f"sender.example TXT v=spf1 {NINE_LOOKUPS} redirect=c.example",
                *OF_TEN,
                "c.example TXT v=spf1 ip4:192.0.2.7",
            ],
            "pass",
            id="a redirect that is the tenth look-up",
        ),
        pytest.param(
            [f"sender.example TXT v=spf1 {TEN_LOOKUPS} redirect=c.example", *OF_TEN, "c.example TXT v=spf1 +all"],
            "permerror",
            id="a redirect that is the eleventh look-up (§4.6.4)",
        ),
        pytest.param(
            [
                f"sender.example TXT v=spf1 {NINE_LOOKUPS} include:b.example redirect=c.example",
                *OF_TEN,
                "b.example TXT v=spf1 ?all",
                "c.example TXT v=spf1 +all",
            ],
            "permerror",
            id="a redirect after an include that is the eleventh look-up",
        ),
        pytest.param(
            ["sender.example TXT v=spf1 redirect=b.example", "b.example TXT v=spf1 redirect=sender.example"],
            "permerror",
            id="redirects in a ring",
        ),
        pytest.param(
            ["sender.example TXT v=spf1 a:no1.example a:no2.example a:no3.example +all"],
            "permerror",
            id="more than two void look-ups (§4.6.4)",
        ),
        pytest.param(
            ["sender.example TXT v=spf1 mx -all", "sender.example MX 0 .", "sender.example A 192.0.2.7"],
            "fail",
            id="null MX (RFC 7505)",
        ),
        pytest.param(
            ["sender.example TXT v=spf1 ptr -all", "7.2.0.192.in-addr.arpa PTR SERVFAIL"],
            "fail",
            id="reverse look-up fails: the mechanism does not match (§5.5)",
        ),
        pytest.param(
            [
                "sender.example TXT v=spf1 ptr -all",
                "7.2.0.192.in-addr.arpa PTR dead.sender.example",
                "7.2.0.192.in-addr.arpa PTR mail.sender.example",
                "dead.sender.example A SERVFAIL",
                "mail.sender.example A 192.0.2.7",
            ],
            "pass",
            id="a name of several fails: it is passed over (§5.5)",
        ),
    ],
)
async def test_results(records: list[str], result: str) -> None:
    assert (await found(*records)).result == result


async def test_fail_is_refused_with_the_code_of_rfc_7372() -> None:
    finding = await found("sender.example TXT v=spf1 -all")
    assert finding.refuse_with is not None
    assert (finding.refuse_with.code, finding.refuse_with.enhanced) == (550, "5.7.23")


async def test_fail_only_scores_when_the_configuration_does_not_refuse_it() -> None:
    check = a_check(TableResolver("sender.example TXT v=spf1 -all"), refuse_fail=False)
    finding = await check.examine(a_mail())
    assert finding is not None
    assert finding.refuse_with is None
    assert finding.score > 0


async def test_the_null_reverse_path_is_judged_by_the_helo_name() -> None:
    finding = await found("mail.sender.example TXT v=spf1 ip4:192.0.2.7 -all", reverse_path="")
    assert finding.result == "pass"
    assert finding.evidence["identity"] == "helo"
    assert finding.evidence["domain"] == "mail.sender.example"


@pytest.mark.parametrize("helo", ["[192.0.2.7]", "laptop", "", "a..example", "x" * 64 + ".example"])
async def test_a_helo_name_that_can_have_no_policy_gives_none(helo: str) -> None:
    resolver = TableResolver()
    finding = await a_check(resolver).examine(a_mail(Client("192.0.2.7", helo=helo), reverse_path=""))
    assert finding is not None
    assert finding.result == "none"
    assert not resolver.questions


async def test_ipv6_clients_are_judged_by_ip6_mechanisms() -> None:
    client = Client("2001:db8::7", helo="mail.sender.example")
    assert (await found("sender.example TXT v=spf1 ip6:2001:db8::/32 -all", client=client)).result == "pass"


async def test_a_quoted_local_part_with_an_at_sign_leaves_the_domain_right() -> None:
    finding = await found("sender.example TXT v=spf1 +all", reverse_path='"a@evil.example"@sender.example')
    assert finding.result == "pass"


async def test_our_own_clients_are_not_examined() -> None:
    assert await a_check(TableResolver("sender.example TXT v=spf1 -all")).examine(a_mail(LOGGED_IN)) is None


async def test_a_dead_dns_is_degraded() -> None:
    finding = await a_check(SilentResolver()).examine(a_mail())
    assert finding is not None
    assert (finding.result, finding.degraded) == ("temperror", True)


async def test_look_ups_get_what_is_left_of_the_stages_time() -> None:
    clock = FrozenClock()
    resolver = SilentResolver(clock)
    check = Spf(resolver, clock, "mx.dest.example", refuse_fail=True)
    await check.examine(a_mail(look_up_until=clock.monotonic() + 1.5))
    assert [within.total_seconds() for within in resolver.waited if within] == [1.5]


async def test_the_explanation_is_looked_up_for_fail_alone_and_made_printable() -> None:
    records = [
        "sender.example TXT v=spf1 ip4:192.0.2.7 -all exp=why.example",
        "why.example TXT %{i} is not\x07 ours, see %{d}",
    ]
    resolver = TableResolver(*records)
    check = a_check(resolver)
    await check.examine(a_mail())
    assert ("why.example", "TXT") not in resolver.questions
    finding = await check.examine(a_mail(Client("198.51.100.1")))
    assert finding is not None
    assert finding.evidence["explanation"] == "198.51.100.1 is not? ours, see sender.example"


async def test_the_explanation_is_that_of_the_record_which_failed_not_of_an_included_one() -> None:
    finding = await found(
        "sender.example TXT v=spf1 include:other.example exp=why.example -all",
        "other.example TXT v=spf1 exp=not.example ?all",
        "why.example TXT domain %{d}",
        "not.example TXT wrong",
    )
    assert finding.evidence["explanation"] == "domain sender.example"


async def test_no_question_goes_out_twice_in_one_evaluation() -> None:
    """Answers with TTL 0 are not in the cache, and still are the same to the end of the evaluation."""
    resolver = TableResolver(
        "sender.example TXT v=spf1 a mx include:b.example -all",
        "sender.example A 198.51.100.1",
        "sender.example MX 10 mx1.example",
        "sender.example MX 20 mx2.example",
        "mx1.example A 198.51.100.2",
        "mx2.example A 198.51.100.3",
        "b.example TXT v=spf1 a:sender.example ip4:192.0.2.7 -all",
    )
    finding = await a_check(resolver).examine(a_mail())
    assert finding is not None
    assert finding.result == "pass"
    assert set(resolver.questions.values()) == {1}


async def test_evidence_names_domain_and_mechanism() -> None:
    finding = await found("sender.example TXT v=spf1 ip4:192.0.2.0/24 -all")
    assert finding.evidence == {
        "identity": "mailfrom",
        "domain": "sender.example",
        "mechanism": "ip4:192.0.2.0/24",
    }


async def test_a_client_without_an_address_is_not_examined() -> None:
    """It is a process of this machine."""
    assert await a_check(TableResolver("sender.example TXT v=spf1 -all")).examine(a_mail(Client(""))) is None


async def test_a_mistake_in_the_evaluation_is_not_taken_for_a_client_without_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pipeline makes a finding of it, and says it."""

    def broken(*_: object) -> None:
        raise ValueError("nobody foresaw it")

    monkeypatch.setattr(pyspf, "evaluate", broken)
    with pytest.raises(ValueError, match="nobody foresaw it"):
        await a_check(TableResolver()).examine(a_mail(STRANGER))
