"""Verifying the signatures of a message (RFC 6376 §6.1); pure, but for the keys that are passed in."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from tripost_filter.dkim.body import BodyHasher
from tripost_filter.dkim.canonical import canonical_field
from tripost_filter.dkim.keys import InvalidKey, KeyRecord, UnacceptableKey, parse_key
from tripost_filter.dkim.signature import Signature, read_signature, read_tags
from tripost_filter.dkim.tags import InvalidTags
from tripost_filter.mail import Field, Mail
from tripost_shared.dns.port import DnsAnswer, Status

MAX_SIGNATURES: Final = 8  # RFC 6376 §8.4: a limit is for the verifier to set

_ALGORITHMS: Final = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
_HISTORIC: Final = frozenset({"rsa-sha1"})  # RFC 8301 §3.1


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
    """Verifies the signatures of one message: first all that needs no body, then the body in one pass for all.

    `signatures` are those of `read_signatures`, `keys` what DNS says of each name that they ask for, `now` is in
    seconds since 1970.
    """

    def __init__(
        self, mail: Mail, signatures: Sequence[Signature | Report], keys: Mapping[str, DnsAnswer], now: float
    ) -> None:
        self._mail = mail
        self._now = now
        self._candidates = [
            signature if isinstance(signature, Report) else self._candidate(signature, keys[signature.key_name])
            for signature in signatures
        ]
        self._body = BodyHasher(
            candidate.signature.body_part for candidate in self._candidates if isinstance(candidate, _Candidate)
        )

    @property
    def needs_body(self) -> bool:
        """Whether any signature still depends on it."""
        return any(isinstance(candidate, _Candidate) for candidate in self._candidates)

    def update(self, octets: bytes) -> None:
        """Take the next piece of the body."""
        self._body.update(octets)

    def finish(self) -> list[Report]:
        """Give the reports in the order of the signatures, after the last piece of the body."""
        self._body.finish()
        return [
            candidate if isinstance(candidate, Report) else self._conclusion(candidate)
            for candidate in self._candidates
        ]

    def _candidate(self, signature: Signature, key: DnsAnswer) -> "_Candidate | Report":
        try:
            record = _usable_key(signature, key)
            self._check_fitness(signature)
        except Unusable as unusable:
            return _report(signature, unusable.result, unusable.because)
        return _Candidate(signature, record)

    def _conclusion(self, candidate: "_Candidate") -> Report:
        signature, record = candidate
        try:
            self._check_hashes(signature, record)
        except Unusable as unusable:
            return _report(signature, unusable.result, unusable.because)
        return _report(signature, Result.PASS, "domain is testing DKIM" if "y" in record.flags else "")

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
        size_octets = self._body.size_octets(signature.body_form)
        length = signature.length_octets
        if length is not None and length > size_octets:
            raise Unusable(Result.PERMERROR, "l= is longer than the body")
        if self._body.digest(signature.body_part) != signature.body_hash:
            raise Unusable(Result.FAIL, "body hash did not verify")
        try:
            if not record.verifies(signature.value, signed_header(self._mail, signature)):
                raise Unusable(Result.FAIL, "signature did not verify")
        except UnacceptableKey as error:
            raise Unusable(Result.POLICY, str(error)) from error
        if length is not None and length < size_octets:
            raise Unusable(Result.POLICY, "l= leaves part of the body unsigned")


class _Candidate(NamedTuple):
    """A signature that may pass: its body and its value are left to look at."""

    signature: Signature
    record: KeyRecord


def _usable_key(signature: Signature, key: DnsAnswer) -> KeyRecord:
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
    kind = _ALGORITHMS[signature.algorithm]
    # RFC 6376 §6.1.2 leaves the choice to us; their order is chance, and a domain may have a key of each kind
    record = next((record for record in usable if record.kind == kind), None)
    if record is None:
        raise Unusable(Result.PERMERROR, "key is not for this algorithm")
    if "s" in record.flags and signature.identity_domain != signature.domain:
        raise Unusable(Result.PERMERROR, "key allows no subdomain in i=")
    return record


def signed_header(mail: Mail, signature: Signature) -> bytes:
    """Give the octets that a signature signs (§3.7): the named fields, bottom up, and the signature field itself."""
    form, by_name = signature.header_form, mail.fields_by_name
    taken: dict[str, int] = {}
    signed: list[bytes] = []
    for name in signature.signed_fields:
        fields = by_name.get(name.encode(), ())
        taken[name] = count = taken.get(name, 0) + 1
        if count <= len(fields):
            signed.append(canonical_field(fields[-count].raw, form))
    signed.append(canonical_field(_without_value(signature.raw), form).removesuffix(b"\r\n"))
    return b"".join(signed)


def _without_value(raw: bytes) -> bytes:
    """Empty the tag `b=` of a signature field, and leave all other octets as they are."""
    field_name, colon, tags = raw.partition(b":")
    parts = tags.split(b";")
    for place, part in enumerate(parts):
        name, equals, _ = part.partition(b"=")
        if name.strip(b" \t\r\n") == b"b":
            parts[place] = name + equals
            break
    return field_name + colon + b";".join(parts)


def _report(signature: Signature, result: Result, because: str) -> Report:
    return Report(result, because, signature.domain, signature.selector, signature.algorithm, signature.value_text[:8])


def overall(reports: Sequence[Report]) -> str:
    """Give the one word for all signatures: "pass" if any passes, "none" without any."""
    results = [report.result for report in reports]
    for word in (Result.PASS, Result.TEMPERROR):
        if word in results:
            return word.value
    return results[0].value if results else "none"
