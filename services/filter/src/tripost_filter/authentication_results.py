"""The Authentication-Results field (RFC 8601): what this host found, for readers that trust it."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tripost_filter.dkim.evidence import from_evidence
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.client import Client
from tripost_shared.mail.header import fold

FIELD_NAME: Final = "Authentication-Results"
MAX_VALUE_CHARACTERS: Final = 320  # an address has 256 octets at most

# What RFC 8601 §2.2 takes without quotes; of its local parts only the harmless ones.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._+\-]+|[A-Za-z0-9._+\-]+@[A-Za-z0-9._\-]+")
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_IPREV_RESULTS: Final = frozenset({"pass", "fail", "temperror", "permerror"})
_SPF_RESULTS: Final = frozenset({"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"})


def authentication_results(authserv_id: str, client: Client, reverse_path: str, findings: Sequence[Finding]) -> bytes:
    """Give the field, CRLF at its end; it says `none` when nothing was authenticated.

    Of several findings of one check (one per recipient) the first counts.
    """
    by_check = {finding.check: finding for finding in reversed(findings)}
    results = list(_auth(client))
    if "reverse_dns" in by_check:
        results.append(_iprev(by_check["reverse_dns"], client))
    if "spf" in by_check:
        results.append(_spf(by_check["spf"], client, reverse_path))
    if "dkim" in by_check:
        results.extend(_dkim(by_check["dkim"]))
    words = [f"{authserv_id};"]
    for result in results or [["none"]]:
        words += result[:-1]
        words.append(result[-1] + ";")
    words[-1] = words[-1].removesuffix(";")
    return fold(FIELD_NAME, words)


def _auth(client: Client) -> Iterator[list[str]]:
    """Say that the client had logged in, not as whom: the field goes to every recipient, and the trace tells."""
    if client.login:
        yield ["auth=pass"]


def _iprev(finding: Finding, client: Client) -> list[str]:
    """RFC 8601 §2.7.3: the address that was looked up, and in a comment the name that it is known to have."""
    result = finding.result if finding.result in _IPREV_RESULTS else "temperror"
    words = [f"iprev={result}", f"policy.iprev={_value(client.address)}"]
    name = finding.evidence.get("name", "")
    return [*words, f"({name})"] if result == "pass" and _PLAIN.fullmatch(name) else words


def _spf(finding: Finding, client: Client, reverse_path: str) -> list[str]:
    result = finding.result if finding.result in _SPF_RESULTS else "temperror"
    words = [f"spf={result}"]
    if result == "permerror" and finding.because:
        words.append(f"reason={_quoted(_ascii(finding.because))}")
    if finding.evidence.get("identity", "mailfrom" if reverse_path else "helo") == "helo":
        return [*words, f"smtp.helo={_value(_ascii(client.helo))}"]
    return [*words, f"smtp.mailfrom={_value(reverse_path)}"]


def _dkim(finding: Finding) -> Iterator[list[str]]:
    reports = from_evidence(finding.evidence)
    if not reports:
        yield [f"dkim={'none' if finding.result == 'none' else 'temperror'}"]
    for report in reports:
        words = [f"dkim={report.result}"]
        if report.because:
            words.append(f"reason={_quoted(_ascii(report.because))}")
        for name, text in zip("dsab", report[2:], strict=True):
            if text:
                words.append(f"header.{name}={_value(_ascii(text))}")
        yield words


def _value(text: str) -> str:
    """Write a value as it is where no reader can take it for anything else, else as a quoted string (RFC 8601 §2.2)."""
    return text if len(text) <= MAX_VALUE_CHARACTERS and _PLAIN.fullmatch(text) else _quoted(text)


def _ascii(text: str) -> str:
    """Give what may be in any message; UTF-8 is for addresses, whose presence makes the message an SMTPUTF8 one."""
    return text if text.isascii() else text.encode("ascii", "replace").decode("ascii")


def _quoted(text: str) -> str:
    safe = _NO_TEXT.sub("?", text[:MAX_VALUE_CHARACTERS]).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{safe}"'
