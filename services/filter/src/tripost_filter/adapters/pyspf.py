"""Sender Policy Framework (RFC 7208): pyspf's evaluation on our look-ups, with its deviations mended.

pyspf parses and evaluates the records. Replaced here: everything that touches DNS (so that nothing blocks and no answer
is asked for twice), macro expansion, and what the comments below name. The explanation is looked up for "fail" alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import quote

import spf  # type: ignore[import-untyped]  # pyspf has no annotations

from tripost_filter.lookups import Lookups
from tripost_shared.dns.port import Status

# Far above what RFC 7208 §3.4 recommends (450 octets); they bound the work on hostile records.
MAX_RECORD_OCTETS: Final = 4096
MAX_TERMS: Final = 256
MAX_EXPLANATION_CHARACTERS: Final = 300

_MACRO: Final = re.compile(r"%(?:([%_\-])|\{([slodiphcrtv])([0-9]*)(r?)([.\-+,/_=]*)\})?", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([a-z][a-z0-9_.\-]*)=", re.IGNORECASE)
_ADDRESS_MACROS_IN_TEXT_ONLY: Final = frozenset("crt")
_DEFAULT_EXPLANATION: Final = spf.EXPLANATIONS["fail"]


@dataclass(frozen=True, slots=True)
class SpfResult:
    """How an evaluation ended: one of the results of RFC 7208 §2.6, the mechanism that matched, and what went wrong.

    `explanation` is the domain's own text for "fail" (§6.2), from a stranger: printable ASCII, cut to a line's length.
    """

    result: str
    mechanism: str = ""
    problem: str = ""
    explanation: str = ""


def evaluate(client: str, local_part: str, domain: str, helo: str, receiver: str, lookups: Lookups) -> SpfResult:
    """Run check_host() (RFC 7208 §4) for an IPv4 or IPv6 address and an identity; raises Unanswered.

    `domain` is that of the reverse-path, or the HELO name with local part "postmaster" for the null one (§2.4).
    """
    if not _is_checkable(domain):
        return SpfResult("none", problem="no domain that could publish a policy")
    evaluation = _Evaluation(client, local_part, domain, helo, receiver, lookups)
    result, _, text = evaluation.check()
    problem = str(getattr(evaluation, "prob", "")) if result in {"permerror", "temperror"} else ""
    explanation = evaluation.explain(text) if result == "fail" else ""
    return SpfResult(result, evaluation.mechanism or "", problem, explanation)


@lru_cache(maxsize=4096)
def _is_checkable(domain: str) -> bool:
    """Whether it is a well-formed name of several labels (RFC 7208 §4.3); an address literal is not."""
    labels = domain.removesuffix(".").split(".")
    return (
        len(labels) > 1
        and len(domain) <= 254
        and all(0 < len(label) <= 63 for label in labels)
        and not domain.startswith("[")
        and not labels[-1].isdigit()
    )


class _Evaluation(spf.query):  # type: ignore[misc]  # its base has no annotations
    """One evaluation; pyspf's single-letter attributes are the macros of RFC 7208 §7.2."""

    def __init__(self, client: str, local_part: str, domain: str, helo: str, receiver: str, lookups: Lookups) -> None:
        super().__init__(i=client, s=f"{local_part}@{domain}", h=helo, receiver=receiver)
        # pyspf splits the address at its first "@", which may be inside a quoted local part
        self.l, self.o, self.d = local_part, domain, domain
        self._lookups = lookups
        self._explanation_domain = ""
        self._depth = -1  # of the record at hand: that of the domain itself has 0, one that it includes 1

    # --- DNS

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Give the records; [] for a name that cannot exist. Raises TempError, PermError (too many void look-ups)."""
        name = name.removesuffix(".").lower()
        if not name.isascii() or len(name) > 253 or not all(0 < len(label) < 64 for label in name.split(".")):
            return []  # RFC 8616 §4 for the first
        answer = self._lookups.get(name, qtype)
        if answer.status is Status.FAILED:
            raise spf.TempError(f"{name} {qtype}: {answer.because or 'no answer'}")
        if answer.status is not Status.FOUND:
            if not ignore_void:
                self._count_void_lookup()
            return []
        if qtype == "MX":
            return [(int(preference), host) for preference, _, host in (mx.partition(" ") for mx in answer.records)]
        return list(answer.records)

    def dns_txt(self, domainname: str, rr: str = "TXT", ignore_void: bool = False) -> list[bytes]:
        """Give each TXT record's octets, its strings joined (RFC 7208 §3.3)."""
        return [record.encode("latin-1") for record in self.dns(domainname, rr, ignore_void=ignore_void)]

    def dns_mx(self, domainname: str) -> list[str]:
        """Give the addresses of all exchanges (RFC 7208 §5.4); all are looked up together."""
        exchanges = [host for _, host in self.dns(domainname, "MX") if host]
        if len(exchanges) > spf.MAX_MX:
            raise spf.PermError(f"more than {spf.MAX_MX} MX records")
        self._look_up_together(exchanges)
        return [address for host in exchanges for address in self.dns_a(host, self.A)]

    def validated_ptrs(self) -> list[str]:
        """Give the client's names that lead back to it; a look-up that fails is passed over (RFC 7208 §5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:  # pyspf ends with temperror
            return []
        self._look_up_together(names)
        validated = []
        for name in names:
            try:
                if self.cidrmatch(self.dns_a(name, self.A), self.cidrmax):
                    validated.append(name)
            except spf.TempError:
                continue
        return validated

    def cidrmatch(self, ipaddrs: list[str], n: int) -> bool:
        """Tell whether the client is in the network of n bits around one of the addresses."""
        shift = self.ipaddr.max_prefixlen - n
        wanted = int(self.ipaddr) >> shift
        return any(
            address.version == self.ipaddr.version and int(address) >> shift == wanted
            for address in map(_address, ipaddrs)
        )

    def _look_up_together(self, names: list[str]) -> None:
        well_formed = [name for name in names if name.isascii() and all(0 < len(x) < 64 for x in name.split("."))]
        self._lookups.get_all([(name.lower(), self.A) for name in well_formed])

    def _count_void_lookup(self) -> None:
        self.void_lookups += 1
        if self.void_lookups > spf.MAX_VOID_LOOKUPS:
            raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} void look-ups")

    # --- records

    def check1(self, spf_record: str | None, domain: str, recursion: int) -> tuple[str, int, str]:
        """Evaluate the record of a domain; one at the depth of the record at hand is that which it redirects to."""
        if recursion == self._depth:
            self.check_lookups()
        return super().check1(spf_record, domain, recursion)  # type: ignore[no-any-return]  # pyspf has no types

    def check0(self, spf_record: str | None, recursion: int) -> tuple[str, int, str]:
        """Evaluate one record, normalised: pyspf takes modifier names as case-sensitive, and any twice for an error.

        It counts "redirect" when it reads it. A look-up is what takes place (RFC 7208 §4.6.4), so `check1` counts.
        """
        if spf_record and (len(spf_record) > MAX_RECORD_OCTETS or spf_record.count(" ") > MAX_TERMS):
            raise spf.PermError("record too long")
        record = self._normalised(spf_record)
        outer, self._depth = self._depth, recursion
        self.lookups -= _redirects(record)
        result = super().check0(record, recursion)
        self._depth = outer
        return result  # type: ignore[no-any-return]  # pyspf has no types

    def _normalised(self, record: str | None) -> str | None:
        if not record or "=" not in record[6:]:
            return record
        terms = record.split(" ")
        kept = terms[:1]
        for term in filter(None, terms[1:]):
            modifier = _MODIFIER.match(term)
            if modifier is None:
                kept.append(term)
                continue
            name, value = modifier[1].lower(), term[modifier.end() :]
            if name in {"exp", "redirect"}:
                kept.append(f"{name}={value}")
            else:  # unknown (RFC 7208 §6): only its macros must be well-formed; "default" and "op" mean nothing
                for macro in _MACRO.finditer(value):
                    _check(macro, in_domain=False)
        return " ".join(kept)

    # --- macros and explanations

    def expand(self, s: str, stripdot: bool = True) -> str:
        """Expand macros (RFC 7208 §7); `stripdot` for a domain, else for an explanation's text.

        pyspf does not loop when it shortens a name that is too long, and takes quadratic time on hostile records.
        """
        if "%" in s:
            s = _MACRO.sub(lambda match: self._expanded(match, in_domain=stripdot), s)
        if stripdot:
            s = s.removesuffix(".")
            while len(s) > 253 and "." in s:
                s = s.partition(".")[2]
        return s

    def _expanded(self, macro: re.Match[str], *, in_domain: bool) -> str:
        _check(macro, in_domain=in_domain)
        literal, letter, digits, reverse, delimiters = macro.groups()
        if literal:
            return {"%": "%", "_": " ", "-": "%20"}[literal]
        name = letter.lower()
        text = self.getp() if name == "p" else str(getattr(self, name))
        if digits or reverse or delimiters:
            parts = re.split(f"[{re.escape(delimiters or '.')}]", text)
            if reverse:
                parts.reverse()
            text = ".".join(parts[-int(digits[:4]) :] if digits else parts)
        return quote(text, safe="~") if letter.isupper() else text

    def get_explanation(self, spec: str) -> str:
        """Note where the explanation would be; `explain` reads it once it is known to be wanted.

        pyspf looks it up before it evaluates, which costs a look-up a message, and swallows every exception.
        """
        if self._depth == 0:
            self._explanation_domain = self.d
        return spec

    def explain(self, spec: str) -> str:
        """Give the explanation at this name (RFC 7208 §6.2); "" for none or a malformed one. Raises Unanswered."""
        if spec == _DEFAULT_EXPLANATION:
            return ""
        self.d = self._explanation_domain
        try:
            texts = self.dns_txt(spec, ignore_void=True)
            expanded = self.expand(texts[0].decode("ascii"), stripdot=False) if len(texts) == 1 else ""
        except (spf.PermError, spf.TempError, UnicodeDecodeError):
            return ""
        return "".join(c if " " <= c <= "~" else "?" for c in expanded[:MAX_EXPLANATION_CHARACTERS])


def _redirects(record: str | None) -> bool:
    return record is not None and " redirect=" in record


def _check(macro: re.Match[str], *, in_domain: bool) -> None:
    """Raise PermError for a macro that is none (RFC 7208 §7.1), or has no place in a domain (§7.2)."""
    literal, letter, digits, _, _ = macro.groups()
    if not literal and not letter:
        raise spf.PermError("invalid macro", macro.string[macro.start() : macro.start() + 10])
    if letter and in_domain and letter.lower() in _ADDRESS_MACROS_IN_TEXT_ONLY:
        raise spf.PermError("c, r, t macros are for explanations only", macro[0])
    if digits and int(digits[:4]) == 0:
        raise spf.PermError("a macro cannot keep zero labels", macro[0])


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise spf.PermError(f"invalid address: {text}") from error
