"""The Authentication-Results field (RFC 8601), and the fields that tell the score."""

import pytest

from tripost_filter.authentication_results import authentication_results
from tripost_filter.dkim.evidence import to_evidence
from tripost_filter.dkim.verification import Report, Result
from tripost_filter.tagging import spam_fields
from tripost_shared.contracts.filter import Action, Finding
from tripost_shared.mail.client import Client
from tripost_shared.mail.reply import SmtpReply
from unit.filter.mails import LOGGED_IN, STRANGER

HOST = "mx.dest.example"
SPF = Finding("spf", "pass", evidence={"identity": "mailfrom", "domain": "sender.example"})


def the_field(*findings: Finding, client: Client = STRANGER, reverse_path: str = "ann@sender.example") -> str:
    """Give the field unfolded, without its name."""
    octets = authentication_results(HOST, client, reverse_path, findings)
    assert octets.endswith(b"\r\n")
    lines = octets.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b"\t") for line in lines[1:])
    name, _, value = b" ".join(line.strip() for line in lines).decode().partition(": ")
    assert name == "Authentication-Results"
    return value


def test_it_says_none_when_nothing_was_authenticated() -> None:
    assert the_field() == "mx.dest.example; none"


@pytest.mark.parametrize(
    ("finding", "client", "words"),
    [
        pytest.param(
            Finding("reverse_dns", "pass", evidence={"name": "mail.sender.example"}),
            STRANGER,
            "iprev=pass policy.iprev=192.0.2.7 (mail.sender.example)",
            id="pass",
        ),
        pytest.param(
            Finding("reverse_dns", "pass", evidence={"name": "mail.sender.example"}),
            Client("2001:db8::7"),
            'iprev=pass policy.iprev="2001:db8::7" (mail.sender.example)',
            id="IPv6",
        ),
        pytest.param(
            Finding("reverse_dns", "fail", evidence={"names": "mail.bank.example"}),
            STRANGER,
            "iprev=fail policy.iprev=192.0.2.7",
            id="a name that is not its own",
        ),
        pytest.param(
            Finding("reverse_dns", "pass", evidence={"name": "x) spf=pass (y"}),
            STRANGER,
            "iprev=pass policy.iprev=192.0.2.7",
            id="no name",
        ),
        pytest.param(
            Finding("reverse_dns", "timeout", degraded=True),
            STRANGER,
            "iprev=temperror policy.iprev=192.0.2.7",
            id="cut off",
        ),
    ],
)
def test_what_the_client_s_address_is_called(finding: Finding, client: Client, words: str) -> None:
    """RFC 8601 §2.7.3."""
    assert the_field(SPF, finding, client=client) == (
        f"mx.dest.example; {words}; spf=pass smtp.mailfrom=ann@sender.example"
    )


def test_spf_of_the_reverse_path() -> None:
    assert the_field(SPF) == "mx.dest.example; spf=pass smtp.mailfrom=ann@sender.example"


def test_spf_of_the_helo_name() -> None:
    finding = Finding("spf", "fail", evidence={"identity": "helo", "domain": "mail.sender.example"})
    assert the_field(finding, reverse_path="") == "mx.dest.example; spf=fail smtp.helo=mail.sender.example"


def test_why_spf_is_a_permanent_error_is_said() -> None:
    finding = Finding("spf", "permerror", because="unknown mechanism: what")
    assert the_field(finding).startswith('mx.dest.example; spf=permerror reason="unknown mechanism: what" smtp.mail')


@pytest.mark.parametrize("result", ["timeout", "error"])
def test_a_check_that_broke_is_a_temporary_error(result: str) -> None:
    findings = [Finding("spf", result, degraded=True), Finding("dkim", result, degraded=True)]
    assert the_field(*findings) == "mx.dest.example; spf=temperror smtp.mailfrom=ann@sender.example; dkim=temperror"


def test_each_signature_has_its_result() -> None:
    evidence = to_evidence(
        [
            Report(Result.PASS, "", "sender.example", "sel", "rsa-sha256", "AbCd+/Gh"),
            Report(Result.FAIL, "body hash did not verify", "other.example", "s2", "ed25519-sha256", "0123"),
        ]
    )
    assert the_field(Finding("dkim", "pass", evidence=evidence)) == (
        'mx.dest.example; dkim=pass header.d=sender.example header.s=sel header.a=rsa-sha256 header.b="AbCd+/Gh"; '
        'dkim=fail reason="body hash did not verify" header.d=other.example header.s=s2 header.a=ed25519-sha256 '
        "header.b=0123"
    )


def test_a_message_without_signatures_has_the_result_none() -> None:
    assert the_field(Finding("dkim", "none")) == "mx.dest.example; dkim=none"


def test_of_an_authenticated_client_strangers_do_not_learn_the_login() -> None:
    assert the_field(client=LOGGED_IN) == "mx.dest.example; auth=pass"


def test_a_finding_that_came_once_per_recipient_is_told_once() -> None:
    assert the_field(SPF, SPF, Finding("spf", "fail")) == "mx.dest.example; spf=pass smtp.mailfrom=ann@sender.example"


@pytest.mark.parametrize(
    ("reverse_path", "value"),
    [
        pytest.param("ann+x@sender.example", "ann+x@sender.example", id="plain"),
        pytest.param('"a; spf=pass"@sender.example', r'"\"a; spf=pass\"@sender.example"', id="semicolon"),
        pytest.param("a=b@sender.example", '"a=b@sender.example"', id="equals sign"),
        pytest.param("(x)@sender.example", '"(x)@sender.example"', id="comment"),
        pytest.param("a\r\nX-Evil: 1@sender.example", '"a??X-Evil: 1@sender.example"', id="line end"),
        pytest.param("a\\@sender.example", r'"a\\@sender.example"', id="backslash"),
        pytest.param("ann@x\u2028y.example", '"ann@x?y.example"', id="line separator of Unicode"),
        pytest.param("\u00e4nn@sender.example", '"\u00e4nn@sender.example"', id="UTF-8"),
    ],
)
def test_nothing_that_a_client_says_can_be_taken_for_a_result(reverse_path: str, value: str) -> None:
    assert the_field(SPF, reverse_path=reverse_path) == f"mx.dest.example; spf=pass smtp.mailfrom={value}"


def test_octets_that_need_smtputf8_come_from_addresses_alone() -> None:
    finding = Finding("spf", "none", evidence={"identity": "helo"})
    field = the_field(finding, client=Client("192.0.2.7", helo="caf\u00e9.example"), reverse_path="")
    assert field == 'mx.dest.example; spf=none smtp.helo="caf?.example"'


def test_a_hostile_helo_name_stays_a_quoted_string() -> None:
    finding = Finding("spf", "none", evidence={"identity": "helo"})
    client = Client("192.0.2.7", helo='x"; dkim=pass header.d=bank.example (')
    assert the_field(finding, client=client, reverse_path="") == (
        r'mx.dest.example; spf=none smtp.helo="x\"; dkim=pass header.d=bank.example ("'
    )


def test_every_scored_message_has_a_status_and_a_tagged_one_the_flag() -> None:
    findings = [Finding("spf", "softfail", 1.0), Finding("headers", "flawed", 5.5), Finding("dkim", "pass")]
    status = b"X-Spam-Status: %s, score=6.5 required=6.0 tests=headers,spf\r\n"
    assert spam_fields(Action.TAG, 6.5, 6.0, findings) == b"X-Spam-Flag: YES\r\n" + status % b"Yes"
    assert spam_fields(Action.ACCEPT, 6.5, 6.0, findings) == status % b"No"
    assert spam_fields(Action.ACCEPT, 0, 6.0, []) == b"X-Spam-Status: No, score=0.0 required=6.0 tests=none\r\n"


def test_a_check_that_asked_for_a_refusal_is_named_among_the_tests() -> None:
    """In monitor mode the message is tagged for it, whatever the score."""
    findings = [Finding("patterns", "eicar", refuse_with=SmtpReply(550, "5.7.1", "Virus"))]
    fields = spam_fields(Action.TAG, 0, 6.0, findings)
    assert fields == b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=0.0 required=6.0 tests=patterns\r\n"
