"""Verifying the signatures of a message (RFC 6376 §6.1); pure, but for the keys that are passed in."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from tripost_filter.dkim.canonical import Form, canonical_body, canonical_field
from tripost_filter.dkim.keys import InvalidKey, KeyRecord, UnacceptableKey, parse_key
from tripost_filter.dkim.signature import Signature, read_signature, read_tags
from tripost_filter.dkim.tags import InvalidTags
from tripost_filter.mail import Field, Mail
from tripost_shared.dns.port import DnsAnswer, Status

MAX_SIGNATURES: Final = 8  # RFC 6376 §8.4: a limit is for the verifier to set

_ALGORITHMS: Final = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
_HISTORIC: Final = frozenset({"rsa-sha1"})  # RFC 8301 §3.1
_B_VALUE: Final = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")


class Result(StrEnum):
    """The results of RFC 8601 §2.7.1 for a signature."""

    PASS = "pass"  # noqa: S105 (a result, no password)
    FAIL = "fail"
    POLICY = "policy"  # it verifies or may, but must not count
    NEUTRAL = "neutral"  # it could not be read
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Report(NamedTuple):
    """What became of one signature; the texts are as in the field, or "" where it could not be read."""

    result: Result
    because: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    value_start: str = ""  # RFC 6008: enough of b= to tell signatures apart


class Unusable(Exception):
    """The signature ends with this result before any hashing."""

    def __init__(self, result: Result, because: str) -> None:
        super().__init__(because)
        self.result = result
        self.because = because


def read_signatures(mail: Mail) -> list[Signature | Report]:
    """Read the first MAX_SIGNATURES signatures, top to bottom; one that cannot be read is given as its report."""
    return [_read(field) for field in mail.fields_of(b"dkim-signature")[:MAX_SIGNATURES]]


def _read(field: Field) -> Signature | Report:
    tags: dict[str, str] = {}
    try:
        tags = read_tags(field.raw)
        return read_signature(field.raw, tags)
    except InvalidTags as error:
        domain, selector, algorithm, value = (tags.get(name, "") for name in ("d", "s", "a", "b"))
        return Report(Result.NEUTRAL, str(error), domain, selector, algorithm, value[:8])


class Verifier:
    """Verifies the signatures of one message; what they share is computed once."""

    def __init__(self, mail: Mail, now: float) -> None:
        self._mail = mail
        self._now = now
        self._bodies: dict[Form, bytes] = {}
        self._body_hashes: dict[tuple[Form, int | None], bytes] = {}

    def verify(self, signature: Signature, key: DnsAnswer) -> Report:
        """Verify a signature with what DNS says of its key."""
        try:
            record = self._usable_key(signature, key)
            self._check_fitness(signature)
            self._check_hashes(signature, record)
        except Unusable as unusable:
            return _report(signature, unusable.result, unusable.because)
        return _report(signature, Result.PASS, "domain is testing DKIM" if "y" in record.flags else "")

    def _usable_key(self, signature: Signature, key: DnsAnswer) -> KeyRecord:
        if signature.algorithm in _HISTORIC:
            raise Unusable(Result.POLICY, f"{signature.algorithm} does not count any more")
        if signature.algorithm not in _ALGORITHMS:
            raise Unusable(Result.NEUTRAL, "unknown algorithm")
        if key.status is Status.FAILED:
            raise Unusable(Result.TEMPERROR, f"key look-up failed: {key.because or 'no answer'}")
        if key.status is not Status.FOUND:
            raise Unusable(Result.PERMERROR, "no key for signature")
        records = [parse_key(text) for text in key.records[:MAX_SIGNATURES]]
        usable = [record for record in records if isinstance(record, KeyRecord)]
        if not usable:
            raise Unusable(Result.PERMERROR, str(next(error for error in records if isinstance(error, InvalidKey))))
        record = usable[0]  # RFC 6376 §3.6.2.2 leaves open what several records mean
        if record.kind != _ALGORITHMS[signature.algorithm]:
            raise Unusable(Result.PERMERROR, "key is not for this algorithm")
        if "s" in record.flags and signature.identity_domain != signature.domain:
            raise Unusable(Result.PERMERROR, "key allows no subdomain in i=")
        return record

    def _check_fitness(self, signature: Signature) -> None:
        if "from" not in signature.signed_fields:
            raise Unusable(Result.PERMERROR, "From is not signed")
        if signature.expires_at is not None and self._now > signature.expires_at:
            raise Unusable(Result.POLICY, "signature has expired")
        if len(self._mail.fields_of(b"from")) > signature.signed_fields.count("from"):
            raise Unusable(Result.POLICY, "a From field is not signed")
        if not self._mail.is_whole:
            raise Unusable(Result.NEUTRAL, "message is larger than what is examined")

    def _check_hashes(self, signature: Signature, record: KeyRecord) -> None:
        body = self._canonical_body(signature.body_form)
        length = signature.length_octets
        if length is not None and length > len(body):
            raise Unusable(Result.PERMERROR, "l= is longer than the body")
        if self._body_hash(signature.body_form, length) != signature.body_hash:
            raise Unusable(Result.FAIL, "body hash did not verify")
        try:
            if not record.verifies(signature.value, signed_header(self._mail.fields, signature)):
                raise Unusable(Result.FAIL, "signature did not verify")
        except UnacceptableKey as error:
            raise Unusable(Result.POLICY, str(error)) from error
        if length is not None and length < len(body):
            raise Unusable(Result.POLICY, "l= leaves part of the body unsigned")

    def _canonical_body(self, form: Form) -> bytes:
        if form not in self._bodies:
            self._bodies[form] = canonical_body(self._mail.body, form)
        return self._bodies[form]

    def _body_hash(self, form: Form, length: int | None) -> bytes:
        if (form, length) not in self._body_hashes:
            body = self._canonical_body(form)
            self._body_hashes[form, length] = hashlib.sha256(body if length is None else body[:length]).digest()
        return self._body_hashes[form, length]


def signed_header(fields: Sequence[Field], signature: Signature) -> bytes:
    """Give the octets that a signature signs (§3.7): the named fields, bottom up, and the signature field itself."""
    form = signature.header_form
    by_name: defaultdict[bytes, list[bytes]] = defaultdict(list)
    wanted = {name.encode() for name in signature.signed_fields}
    for field in fields:
        if field.name in wanted:
            by_name[field.name].append(field.raw)
    chosen = [by_name[name].pop() for name in map(str.encode, signature.signed_fields) if by_name[name]]
    name, colon, value = signature.raw.partition(b":")
    own = name + colon + _B_VALUE.sub(rb"\1", value, count=1)
    return b"".join(canonical_field(raw, form) for raw in chosen) + canonical_field(own, form).removesuffix(b"\r\n")


def _report(signature: Signature, result: Result, because: str) -> Report:
    return Report(result, because, signature.domain, signature.selector, signature.algorithm, signature.value_text[:8])


def overall(reports: Sequence[Report]) -> str:
    """Give the one word for all signatures: "pass" if any passes, "none" without any."""
    results = [report.result for report in reports]
    if not results:
        return "none"
    return next((word for word in (Result.PASS, Result.TEMPERROR) if word in results), results[0]).value
