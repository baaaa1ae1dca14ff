"""A directory as a table of lines, for tests.

domain dest.example
mailbox ann@dest.example              (its domain is one of ours then)
mailbox bob@dest.example disabled
alias info@dest.example ann@dest.example eve@other.example
alias *@dest.example ann@dest.example (the catch-all)
grant ann@dest.example @news.example
route .other.example smart.example:2525 encrypt
route partner.example mx may anyone
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tripost_domains.directory.model import (
    AppPasswordRecord,
    CredentialRecord,
    DomainRecord,
    LocalPartRecord,
    RouteRecord,
    SenderRecord,
)
from tripost_domains.directory.resolution import route_names
from tripost_domains.ports import DirectoryUnavailable, Loaded, Wanted
from tripost_shared.contracts.sasl import DEFAULT_MECHANISMS
from tripost_shared.mail.lookup import relayable_from_anyone


@dataclass(slots=True)
class _Mailbox:
    enabled: bool
    password_hash: str | None = None
    app_passwords: tuple[AppPasswordRecord, ...] = ()
    secrets: dict[str, bytes] = field(default_factory=dict)
    grants: set[str] = field(default_factory=set)


class MemoryDirectoryRecords:
    """The port DirectoryRecords over a table. `is_away` makes all readings fail; `loads` counts them."""

    def __init__(self, *lines: str) -> None:
        self.is_away = False
        self.loads = 0
        self._domains: list[str] = []
        self._mailboxes: dict[tuple[str, str], _Mailbox] = {}
        self._aliases: dict[tuple[str, str], tuple[str, ...]] = {}
        self._routes: dict[str, RouteRecord] = {}
        self._mechanisms: dict[str, tuple[str, ...]] = {}
        for line in lines:
            self.add(line)

    def add(self, line: str) -> None:
        """Put one more line into the table."""
        kind, name, *rest = line.split()
        parsers: Mapping[str, Callable[[str, list[str]], None]] = {
            "domain": lambda name, _rest: self._add_domain(name),
            "mailbox": self._add_mailbox,
            "alias": self._add_alias,
            "grant": self._add_grant,
            "route": self._add_route,
        }
        parsers[kind](name, rest)

    def remove(self, address: str) -> None:
        """Take a mailbox or an alias out."""
        self._mailboxes.pop(_key(address), None)
        self._aliases.pop(_key(address), None)

    def set_password(self, address: str, password_hash: str | None) -> None:
        """Give a mailbox a password."""
        self._mailboxes[_key(address)].password_hash = password_hash

    def allow(self, domain: str, *mechanisms: str) -> None:
        """Let a domain's mailboxes log in by these mechanisms alone."""
        self._mechanisms[domain] = mechanisms

    def set_secrets(self, address: str, secrets: Mapping[str, bytes]) -> None:
        """Give a mailbox what mechanisms need that show no password, sealed."""
        self._mailboxes[_key(address)].secrets = dict(secrets)

    def set_app_passwords(self, address: str, *app_passwords: AppPasswordRecord) -> None:
        """Give a mailbox these application passwords, and no others."""
        self._mailboxes[_key(address)].app_passwords = app_passwords

    async def load(self, wanted: Wanted) -> Mapping[str, Loaded]:
        """Read domains, each with some of its local parts."""
        self._read()
        return {domain: self._load(domain, local_parts) for domain, local_parts in wanted.items()}

    def _load(self, domain: str, local_parts: Collection[str]) -> Loaded:
        if domain not in self._domains:
            routes = (self._routes[name] for name in route_names(domain) if name in self._routes)
            return DomainRecord(is_local=False, route=next(routes, None)), {}
        found = {}
        for name in local_parts:
            mailbox, targets = self._mailboxes.get((domain, name)), self._aliases.get((domain, name))
            if mailbox is not None or targets is not None:
                found[name] = LocalPartRecord(None if mailbox is None else mailbox.enabled, targets)
        return DomainRecord(is_local=True, catch_all=self._aliases.get((domain, "*"))), found

    async def load_credential(self, domain: str, local_part: str) -> CredentialRecord | None:
        """Read a mailbox as a login."""
        self._read()
        mailbox = self._mailboxes.get((domain, local_part))
        if mailbox is None:
            return None
        mechanisms = self._mechanisms.get(domain, DEFAULT_MECHANISMS)
        return CredentialRecord(
            mailbox.enabled, mailbox.password_hash, mechanisms, mailbox.app_passwords, dict(mailbox.secrets)
        )

    async def load_mechanisms(self) -> Collection[str]:
        """Read which mechanisms any domain allows."""
        self._read()
        return {name for domain in self._domains or [""] for name in self._mechanisms.get(domain, DEFAULT_MECHANISMS)}

    async def note_use(self, app_password: int, at: datetime) -> None:
        """Write when an application password was used last."""
        self._read()
        for mailbox in self._mailboxes.values():
            mailbox.app_passwords = tuple(
                replace(one, last_used_at=at) if one.id == app_password else one for one in mailbox.app_passwords
            )

    async def load_sender(self, domain: str, local_part: str) -> SenderRecord | None:
        """Read a mailbox with its grants."""
        self._read()
        mailbox = self._mailboxes.get((domain, local_part))
        return None if mailbox is None else SenderRecord(mailbox.enabled, frozenset(mailbox.grants))

    async def first_domain(self) -> str:
        """Name the oldest domain."""
        self._read()
        return self._domains[0] if self._domains else ""

    def _read(self) -> None:
        self.loads += 1
        if self.is_away:
            raise DirectoryUnavailable("away")

    def _add_domain(self, name: str) -> None:
        if name not in self._domains:
            self._domains.append(name)

    def _add_mailbox(self, address: str, rest: list[str]) -> None:
        self._add_domain(_key(address)[0])
        self._mailboxes[_key(address)] = _Mailbox(enabled="disabled" not in rest)

    def _add_alias(self, address: str, targets: list[str]) -> None:
        self._add_domain(_key(address)[0])
        self._aliases[_key(address)] = tuple(targets)

    def _add_grant(self, address: str, patterns: list[str]) -> None:
        self._mailboxes[_key(address)].grants.update(patterns)

    def _add_route(self, domain: str, rest: list[str]) -> None:
        name, _, port = rest[0].rpartition(":")
        self._routes[domain] = RouteRecord(
            host=name or None,
            port=int(port) if name else 25,
            tls=rest[1] if len(rest) > 1 else "may",
            accepts_from_anyone="anyone" in rest and relayable_from_anyone(domain),
        )


def _key(address: str) -> tuple[str, str]:
    local_part, _, domain = address.rpartition("@")
    return domain, local_part
