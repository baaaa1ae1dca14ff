"""Mailboxes as logins, whatever the mechanism: who may log in, until when a login stands, what is said of refusals."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import structlog

from tripost_domains.directory.app_passwords import has_expired
from tripost_domains.directory.model import CredentialRecord
from tripost_domains.ports import DirectoryRecords, DirectoryUnavailable
from tripost_shared.clock import Clock
from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.mail.address import Address, InvalidAddress, folded
from tripost_shared.mail.failures import TransientFailure

log = structlog.get_logger()

READ_WITHIN: Final = timedelta(seconds=2)
MOST_KEPT: Final = 10_000  # logins that stand without the database
MOST_USES_UNWRITTEN: Final = 100
USES_APART: Final = timedelta(minutes=1)  # when an application password was used last is known to the minute


class Asked(Protocol):
    """What every question of a login says."""

    @property
    def session_id(self) -> str:
        """The session's id."""
        ...

    @property
    def client_address(self) -> str:
        """Where it comes from."""
        ...

    @property
    def mechanism(self) -> str:
        """By which mechanism."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """Who a client says that it is: `address` is None for what is no address, `record` None without a mailbox."""

    address: Address | None
    record: CredentialRecord | None

    @property
    def key(self) -> str:
        """The mailbox's address, as it is compared; "" when there is none."""
        return self.address.key if self.address is not None and self.record is not None else ""

    def objection(self, mechanism: str) -> str:
        """Say what is against it before any password is looked at; "" when nothing is."""
        if self.record is None:
            return "no such mailbox"
        if not self.record.enabled:
            return "the mailbox is disabled"
        if mechanism not in self.record.mechanisms:
            return f"its domain does not allow {mechanism}"
        return ""


class Logins:
    """Reads mailboxes as logins, and knows which ones were accepted since the directory changed last."""

    def __init__(self, records: DirectoryRecords, clock: Clock, at_most: int = MOST_KEPT) -> None:
        self._records = records
        self._clock = clock
        self._at_most = at_most
        self._accepted: OrderedDict[tuple[str, str], None] = OrderedDict()  # logins with their credentials
        self._writing: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """Note that mailboxes or passwords have changed."""
        self._accepted.clear()

    async def find(self, username: str) -> Login:
        """Read the mailbox of a user name; raises TransientFailure. What is no address takes a reading, too."""
        address = address_of(username)
        domain, local_part = ("", "") if address is None else (address.domain, folded(address.local_part))
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                record = await self._records.load_credential(domain, local_part)
        except (DirectoryUnavailable, TimeoutError) as failure:
            raise TransientFailure(because=f"directory: {failure or 'no answer in time'}") from failure
        return Login(address, record)

    async def allowed_mechanisms(self) -> Collection[str]:
        """Name the mechanisms that any domain of ours allows; raises TransientFailure."""
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                return await self._records.load_mechanisms()
        except (DirectoryUnavailable, TimeoutError) as failure:
            raise TransientFailure(because=f"directory: {failure or 'no answer in time'}") from failure

    def accepted(self, login: str, credential: str) -> None:
        """Remember a login, for the time while the database is away."""
        self._accepted[login, credential] = None
        self._accepted.move_to_end((login, credential))
        while len(self._accepted) > self._at_most:
            self._accepted.popitem(last=False)

    async def stands(self, login: str, credential: str) -> bool:
        """Say whether a login that was accepted with this credential would be accepted now; raises TransientFailure.

        The mailbox is read each time, since the asker may know of a change before us. While the database is away, what
        was accepted since the last change that we know of stands.
        """
        try:
            found = await self.find(login)
        except TransientFailure:
            if (login, credential) in self._accepted:
                return True
            raise
        if found.record is None or not found.record.enabled:
            return False
        return credential in set(self._credentials(found.record))

    def _credentials(self, record: CredentialRecord) -> Iterator[str]:
        """Name everything by which the mailbox's user may be logged in now."""
        if record.password_hash is not None:
            yield name_of(record.password_hash)
        now = self._clock.now()
        yield from (name_of(one.digest) for one in record.app_passwords if not has_expired(one, now))
        if Mechanism.GSSAPI in record.mechanisms:
            yield KERBEROS_CREDENTIAL

    def note_use(self, app_password: int) -> None:
        """Write down, in time, that an application password was used; not when that cannot be done now."""
        if len(self._writing) < MOST_USES_UNWRITTEN:
            task = asyncio.create_task(self._write_use(app_password))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write_use(self, app_password: int) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN.total_seconds()):
                await self._records.note_use(app_password, self._clock.now())
        except (DirectoryUnavailable, TimeoutError) as failure:
            log.debug("the use of an application password was not noted", because=str(failure))

    async def settle(self) -> None:
        """Wait until all uses are written."""
        while self._writing:
            await asyncio.wait(set(self._writing))

    def log_refusal(self, asked: Asked, because: str, login: str = "") -> None:
        """Name the login only when it is one: what is typed into the wrong field may be a password."""
        log.info(
            "login refused",
            session=asked.session_id,
            client=asked.client_address,
            mechanism=asked.mechanism,
            login=login,
            because=because,
        )


def name_of(secret: str) -> str:
    """Name a password without telling it, by what is stored of it: that has random octets, so none can be tried.

    Every replica gives the same name.
    """
    return hashlib.blake2b(secret.encode(), digest_size=12).hexdigest()


KERBEROS_CREDENTIAL: Final = name_of("a ticket of our Kerberos realm")


def address_of(username: str) -> Address | None:
    """Read a user name; None for what is no address."""
    try:
        return Address.parse(username)
    except InvalidAddress:
        return None
