"""The secrets of mailboxes, opened; and those of nobody, which look the same from outside."""

from typing import Final

import structlog

from tripost_domains.directory.logins import Login
from tripost_shared.contracts.sasl import Mechanism
from tripost_shared.logins.sealing import Binding, LoginKey, NotOpened

log = structlog.get_logger()

NOT_OPENED: Final = (
    "a login's secret cannot be opened: TRIPOST_DATABASE_KEY_FILE is another one than admin-api's, or the password's "
    "hash was changed by another hand"
)


class StoredSecrets:
    """Opens what is sealed. `trouble` says what somebody should look at."""

    def __init__(self, key: LoginKey) -> None:
        self.key = key
        self.trouble = ""
        self._nobodys = {one: key.seal(bytes(84), Binding(one, "", "")) for one in Mechanism}

    def open(self, login: Login, mechanism: Mechanism) -> bytes | None:
        """Give a mailbox's secret; None when it has none. Something is opened in every case, for equal time."""
        record = login.record
        sealed = record.secrets.get(mechanism) if record is not None else None
        if record is None or sealed is None or login.address is None:
            self.key.open(self._nobodys[mechanism], Binding(mechanism, "", ""))
            return None
        try:
            return self.key.open(sealed, Binding(mechanism, login.address.key, record.password_hash or ""))
        except NotOpened as failure:
            self.trouble = NOT_OPENED
            log.warning("a login's secret cannot be opened", login=login.key, mechanism=mechanism, because=str(failure))
            return None

    def nobodys(self, purpose: str, mechanism: Mechanism, login: Login, username: str) -> bytes:
        """Give 32 octets in the place of a secret: for one name always the same, as a mailbox's would be."""
        return self.key.digest(purpose, mechanism, login.address.key if login.address is not None else username)
