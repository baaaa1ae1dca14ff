"""The DKIM check (RFC 6376, 8301, 8463; results of RFC 8601)."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tripost_filter.check import MustWait
from tripost_filter.checks.dkim import Dkim
from tripost_filter.dkim.evidence import from_evidence, to_evidence
from tripost_filter.dkim.verification import Report, Result
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.table import TableResolver
from unit.filter.mails import LETTER, CachedTable, SilentResolver, a_mail
from unit.filter.signing import ed25519_key, key_record, rsa_key, signed

KEY_NAME = "sel._domainkey.sender.example"
NOW = int(FrozenClock().now().timestamp())


def published(record: str) -> list[str]:
    return [f"{KEY_NAME} TXT {record}"]


async def found(octets: bytes, *records: str, **facts: Any) -> Finding:
    """Give what the check finds, once with an empty cache and once with a full one; both must agree."""
    mail = a_mail(octets=octets, **facts)
    finding = await Dkim(TableResolver(*records), FrozenClock()).examine(mail)
    assert finding is not None
    assert Dkim(CachedTable(*records), FrozenClock()).examine_at_once(mail) == finding
    return finding


async def report_on(octets: bytes, *records: str, **facts: Any) -> tuple[str, str]:
    """Give the first signature's result and the reason."""
    report = from_evidence((await found(octets, *(records or published(key_record(rsa_key()))), **facts)).evidence)[0]
    return report.result.value, report.because


@pytest.mark.parametrize("form", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "relaxed"])
@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["RSA", "Ed25519"])
async def test_a_good_signature_passes(form: str, key: Any) -> None:
    assert await report_on(signed(LETTER, key, c=form), *published(key_record(key))) == ("pass", "")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        pytest.param((b"Hi Bob", b"Hi Rob"), "body hash did not verify", id="body"),
        pytest.param((b"Subject: hello", b"Subject: hullo"), "signature did not verify", id="signed field"),
        pytest.param((b"d=sender", b"d=Sender"), "signature did not verify", id="the signature field itself"),
    ],
)
async def test_a_changed_message_fails(change: tuple[bytes, bytes], because: str) -> None:
    assert await report_on(signed(LETTER).replace(*change)) == ("fail", because)


async def test_an_unsigned_field_may_change() -> None:
    octets = signed(LETTER).replace(b"Message-ID: <1@", b"Message-ID: <2@")
    assert (await report_on(octets))[0] == "pass"


@pytest.mark.parametrize(
    ("tags", "result", "because"),
    [
        pytest.param({"h": "to:subject"}, "permerror", "From is not signed", id="From not signed"),
        pytest.param({"x": NOW - 1, "t": NOW - 99}, "policy", "signature has expired", id="expired"),
        pytest.param({"x": NOW + 1, "t": NOW - 99}, "pass", "", id="not yet expired"),
        pytest.param({"x": NOW - 99, "t": NOW - 99}, "neutral", "x= is not after t=", id="expires as it is made"),
        pytest.param({"a": "rsa-sha1"}, "policy", "rsa-sha1 does not count any more", id="SHA-1 (RFC 8301)"),
        pytest.param({"a": "rsa-sha3"}, "neutral", "unknown algorithm", id="unknown algorithm"),
        pytest.param({"v": 2}, "neutral", "unknown version", id="unknown version"),
        pytest.param({"v": None}, "neutral", "no v=", id="no version"),
        pytest.param({"bh": None}, "neutral", "no bh=", id="no body hash"),
        pytest.param({"bh": "*"}, "neutral", "malformed bh=", id="malformed body hash"),
        pytest.param({"q": "http"}, "neutral", "unknown query method", id="key is not in DNS"),
        pytest.param({"q": "http : dns/txt"}, "pass", "", id="key is in DNS too"),
        pytest.param({"i": "@mail.sender.example"}, "pass", "", id="identity in a subdomain"),
        pytest.param({"i": "@other.example"}, "neutral", "i= is not under d=", id="identity elsewhere"),
        pytest.param({"i": "ann"}, "neutral", "malformed i=", id="identity without domain"),
        pytest.param({"l": 4}, "policy", "l= leaves part of the body unsigned", id="tail not signed"),
        pytest.param({"l": 8}, "pass", "", id="l= of the whole body"),
        pytest.param({"l": 99}, "permerror", "l= is longer than the body", id="l= longer than the body"),
        pytest.param({"l": -1}, "neutral", "malformed l=", id="negative l="),
        pytest.param({"d": "[192.0.2.7]"}, "neutral", "address literal for a domain", id="literal for a domain"),
        pytest.param({"zz": "unknown"}, "pass", "", id="unknown tag"),
        pytest.param({"zz": ";" * 200_000}, "neutral", "too many tags", id="a list without end"),
        pytest.param({"h": "from:" * 1000 + "from"}, "neutral", "too many names in h=", id="h= without end"),
        pytest.param({"d": "\u00fc" * 2000}, "neutral", "domain is too long", id="a domain that IDNA would chew on"),
    ],
)
async def test_tags(tags: dict[str, Any], result: str, because: str) -> None:
    assert await report_on(signed(LETTER, **tags)) == (result, because)


async def test_a_tag_that_occurs_twice_spoils_the_signature() -> None:
    octets = signed(LETTER).replace(b"v=1;", b"v=1; v=1;")
    assert await report_on(octets) == ("neutral", "v= occurs twice")


def odd_record(bits: int, exponent: int) -> str:
    """Give the record of an RSA key that nobody has."""
    key = RSAPublicNumbers(exponent, (1 << (bits - 1)) | 1).public_key()
    return f"p={base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()}"


@pytest.mark.parametrize(
    ("record", "result", "because"),
    [
        pytest.param(key_record(rsa_key(), ""), "pass", "", id="no version"),
        pytest.param(key_record(rsa_key(), "v=DKIM1; t=y; "), "pass", "domain is testing DKIM", id="testing"),
        pytest.param(key_record(rsa_key(), "v=DKIM1; s=email; h=sha1:sha256; "), "pass", "", id="for e-mail"),
        pytest.param(key_record(rsa_key(), "v=DKIM2; "), "permerror", "not a DKIM1 record", id="version"),
        pytest.param(
            key_record(rsa_key(), "n=x; v=DKIM1; "), "permerror", "not a DKIM1 record", id="version is not first"
        ),
        pytest.param(key_record(rsa_key(), "s=tlsrpt; "), "permerror", "key is not for e-mail", id="other service"),
        pytest.param(key_record(rsa_key(), "h=sha1; "), "permerror", "key is not for sha256", id="other hash"),
        pytest.param("v=DKIM1; p=", "permerror", "key is revoked", id="revoked"),
        pytest.param("v=DKIM1", "permerror", "no p= in key record", id="no key"),
        pytest.param(f"n={'x' * 4096}; p=AAAA", "permerror", "key record is too long", id="too long"),
        pytest.param("k=dsa; p=AAAA", "permerror", "unknown key type", id="key type"),
        pytest.param(key_record(ed25519_key()), "permerror", "key is not for this algorithm", id="other algorithm"),
        pytest.param(odd_record(768, 65537), "policy", "key is too short", id="768 bits (RFC 8301)"),
        pytest.param(odd_record(4097, 65537), "policy", "key is too large", id="4097 bits"),
        pytest.param(odd_record(16_384, 65537), "policy", "key is too large", id="a giant"),
        pytest.param(odd_record(2048, (1 << 64) + 1), "policy", "key is too large", id="exponent that takes time"),
        pytest.param("NXDOMAIN", "permerror", "no key for signature", id="no such name"),
        pytest.param("NODATA", "permerror", "no key for signature", id="no record"),
        pytest.param("SERVFAIL", "temperror", "key look-up failed: SERVFAIL", id="DNS failure"),
    ],
)
async def test_key_records(record: str, result: str, because: str) -> None:
    assert await report_on(signed(LETTER), *published(record)) == (result, because)


@pytest.mark.parametrize("record", ["v=DKIM1; p=AAAA", "v=DKIM1; p=!", "k=ed25519; p=AAAA", "p", "=;="])
async def test_garbage_for_a_key_is_a_permanent_error(record: str) -> None:
    result, because = await report_on(signed(LETTER), *published(record))
    assert result == "permerror"
    assert because.startswith("malformed key record")


async def test_a_key_may_forbid_subdomains_in_the_identity() -> None:
    record = key_record(rsa_key(), "t=s; ")
    assert (await report_on(signed(LETTER, i="@sender.example"), *published(record)))[0] == "pass"
    assert (await report_on(signed(LETTER, i="@a.sender.example"), *published(record)))[0] == "permerror"


async def test_a_record_that_is_no_key_beside_the_key_does_no_harm() -> None:
    records = published("google-site-verification=1") + published(key_record(rsa_key()))
    assert (await report_on(signed(LETTER), *records))[0] == "pass"


@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["RSA", "Ed25519"])
async def test_of_several_keys_at_one_name_the_one_for_the_algorithm_counts(key: Any) -> None:
    records = published(key_record(rsa_key())) + published(key_record(ed25519_key()))
    assert await report_on(signed(LETTER, key), *records) == ("pass", "")


async def test_a_second_from_that_is_not_signed_never_passes() -> None:
    octets = b"From: eve@evil.example\r\n" + signed(LETTER)
    assert await report_on(octets) == ("policy", "a From field is not signed")


async def test_a_from_signed_twice_cannot_be_added_to() -> None:
    octets = signed(LETTER, h="from:from:to")
    assert (await report_on(octets))[0] == "pass"
    assert (await report_on(b"From: eve@evil.example\r\n" + octets))[0] == "fail"


async def test_without_a_signature_the_result_is_none() -> None:
    assert await found(LETTER) == Finding("dkim", "none")


async def test_one_good_signature_makes_the_message_pass() -> None:
    octets = signed(signed(LETTER), d="other.example")
    finding = await found(octets, *published(key_record(rsa_key())))
    assert finding.result == "pass"
    assert [report.result for report in from_evidence(finding.evidence)] == ["permerror", "pass"]


async def test_signatures_after_the_eighth_are_ignored_and_noted() -> None:
    octets = LETTER
    for _ in range(10):
        octets = signed(octets, ed25519_key())
    finding = await found(octets, *published(key_record(ed25519_key())))
    assert len(from_evidence(finding.evidence)) == 8
    assert finding.evidence["ignored"] == "2 signatures after the first 8"


async def test_a_dead_dns_is_degraded() -> None:
    clock = FrozenClock()
    mail = a_mail(octets=signed(LETTER), look_up_until=clock.monotonic() + 2)
    resolver = SilentResolver(clock)
    finding = await Dkim(resolver, clock).examine(mail)
    assert finding is not None
    assert (finding.result, finding.degraded) == ("temperror", True)
    assert resolver.waited == [timedelta(seconds=2)]


async def test_keys_of_several_signatures_are_asked_for_at_once() -> None:
    clock = FrozenClock()
    resolver = SilentResolver()
    octets = signed(signed(signed(LETTER), d="b.example"), d="b.example")
    await Dkim(resolver, clock).examine(a_mail(octets=octets, look_up_until=clock.monotonic() + 2))
    assert resolver.waited == [timedelta(seconds=2)] * 2


async def test_a_message_that_was_not_read_whole_is_neutral() -> None:
    assert (await report_on(signed(LETTER)[:-4], is_complete=False))[0] == "neutral"


async def test_a_message_with_more_fields_than_are_read_is_neutral() -> None:
    assert (await report_on(signed(b"X: y\r\n" * 1000 + LETTER)))[0] == "neutral"


async def test_a_large_message_is_verified_chunk_by_chunk() -> None:
    octets = signed(LETTER + b"x" * 70 + b"\r\n" * 200_000 + b"end\r\n")
    records = published(key_record(rsa_key()))
    with pytest.raises(MustWait):
        Dkim(CachedTable(*records), FrozenClock()).examine_at_once(a_mail(octets=octets))
    finding = await Dkim(TableResolver(*records), FrozenClock()).examine(a_mail(octets=octets))
    assert finding is not None
    assert finding.result == "pass"


def test_evidence_can_be_read_back() -> None:
    reports = [
        Report(Result.PASS, "", "sender.example", "sel", "rsa-sha256", "AbCdEfGh"),
        Report(Result.NEUTRAL, "no v="),
    ]
    assert from_evidence(to_evidence(reports)) == reports
