"""A zone table that answers as a resolver does, for tests."""

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Final

from tripost_shared.dns.names import normalised
from tripost_shared.dns.port import DnsAnswer, Status

_DEFAULT_TTL_SECONDS: Final = 300
_MAX_CHAIN: Final = 8
_TROUBLES: Final = {
    "SERVFAIL": DnsAnswer(Status.FAILED, because="SERVFAIL"),
    "REFUSED": DnsAnswer(Status.FAILED, because="REFUSED"),
    "TIMEOUT": DnsAnswer(Status.FAILED, because="no answer in time"),
    "GARBAGE": DnsAnswer(Status.FAILED, because="malformed answer"),
    "NODATA": DnsAnswer(Status.NO_DATA),
    "NXDOMAIN": DnsAnswer(Status.NO_NAME),
}


class TableResolver:
    """Answers from records such as `"example.org TXT v=spf1 -all"`, `"example.org MX 10 mx.example.org"`.

    Instead of a value, SERVFAIL, REFUSED, TIMEOUT, GARBAGE, NODATA or NXDOMAIN says how the look-up ends. A name
    without any record does not exist (NXDOMAIN). TIMEOUT is told at once, without waiting. `questions` counts what
    was asked, by name and type.
    """

    def __init__(self, *records: str) -> None:
        self.questions: Counter[tuple[str, str]] = Counter()
        self._values: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._names: set[str] = set()
        for record in records:
            self.add(record)

    def add(self, record: str) -> None:
        """Add a record."""
        name, record_type, value = record.split(" ", 2)
        key = normalised(name) or name
        self._names.add(key)
        self._values[key, record_type].append(value)

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        """Look a name up in the table."""
        key = normalised(name)
        if key is None:
            return DnsAnswer(Status.NO_NAME)
        self.questions[key, record_type] += 1
        for _ in range(_MAX_CHAIN):
            if (key, record_type) in self._values:
                return _answer(record_type, self._values[key, record_type])
            if (key, "CNAME") not in self._values:
                return DnsAnswer(Status.NO_DATA if key in self._names else Status.NO_NAME)
            target = self._values[key, "CNAME"][0]
            if target in _TROUBLES:
                return _TROUBLES[target]
            key = normalised(target) or target
        return DnsAnswer(Status.FAILED, because="CNAME chain too long")

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Remember nothing."""
        return None


def _answer(record_type: str, values: list[str]) -> DnsAnswer:
    if values[0] in _TROUBLES:
        return _TROUBLES[values[0]]
    return DnsAnswer(Status.FOUND, tuple(_in_order(record_type, values)), _DEFAULT_TTL_SECONDS)


def _in_order(record_type: str, values: list[str]) -> list[str]:
    if record_type == "MX":
        pairs = [value.split() for value in values]
        return [f"{preference} {_host(host)}" for preference, host in sorted(pairs, key=lambda mx: (int(mx[0]), mx[1]))]
    if record_type in {"PTR", "CNAME", "NS"}:
        return [_host(value) for value in values]
    return values


def _host(name: str) -> str:
    """Give a host name as DnsAnswer has it; the root, as in a null MX (RFC 7505), stays a dot."""
    return name.lower().removesuffix(".") or "."
