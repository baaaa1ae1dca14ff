"""Kerberos by the library `gssapi`, an optional extra: `pip install tripost-domains[gssapi]` needs MIT's libraries."""

from importlib import import_module
from pathlib import Path
from typing import Any

from tripost_domains.sasl.kerberos import TicketRefused
from tripost_shared.settings import SettingsError

SERVICE = "smtp/"  # RFC 4954 §4: the service name is "smtp"


class GssapiAcceptor:
    """Accepts tickets for the principals of a keytab (the port Acceptor)."""

    def __init__(self, keytab: Path) -> None:
        """Read the keytab. Raises SettingsError."""
        try:
            self._gssapi: Any = import_module("gssapi")
        except ImportError as error:
            raise SettingsError(
                "TRIPOST_DOMAINS_GSSAPI_KEYTAB: Kerberos needs the extra tripost-domains[gssapi], which cannot be "
                f"loaded: {error}"
            ) from error
        try:
            with keytab.open("rb"):
                pass
            self._credentials = self._gssapi.Credentials(usage="accept", store={"keytab": f"FILE:{keytab}"})
        except OSError as error:
            raise SettingsError(f"TRIPOST_DOMAINS_GSSAPI_KEYTAB: {error.strerror}: {keytab}") from error
        except self._gssapi.exceptions.GSSError as error:
            raise SettingsError(f"TRIPOST_DOMAINS_GSSAPI_KEYTAB: {keytab} has no key: {_words(error)}") from error

    def begin(self) -> "GssapiContext":
        """Make a context for a new client."""
        return GssapiContext(self._gssapi, self._credentials)


class GssapiContext:
    """One client's context (the port SecurityContext)."""

    def __init__(self, gssapi: Any, credentials: Any) -> None:
        self._gssapi = gssapi
        self._context = gssapi.SecurityContext(creds=credentials, usage="accept")

    def step(self, token: bytes) -> bytes:
        """Take the client's token, give ours."""
        try:
            answer = self._context.step(token)
            if self._context.complete:
                self._check()
        except self._gssapi.exceptions.GSSError as error:
            raise TicketRefused(f"Kerberos: {_words(error)}") from error
        return answer or b""

    def _check(self) -> None:
        if self._context.mech != self._gssapi.MechType.kerberos:  # RFC 4752 §3.1; SPNEGO might choose anything
            raise TicketRefused("another mechanism of GSSAPI than Kerberos")
        if not str(self._context.target_name).startswith(SERVICE):
            raise TicketRefused("a ticket for another service than smtp")

    @property
    def is_complete(self) -> bool:
        """Whether both sides know each other."""
        return bool(self._context.complete)

    @property
    def client(self) -> str:
        """The client's principal."""
        return str(self._context.initiator_name)

    def wrap(self, octets: bytes) -> bytes:
        """Sign octets for the client, in the open (RFC 4752 §3.1)."""
        try:
            return bytes(self._context.wrap(octets, False).message)
        except self._gssapi.exceptions.GSSError as error:
            raise TicketRefused(f"Kerberos: {_words(error)}") from error

    def unwrap(self, token: bytes) -> bytes:
        """Give what the client has signed."""
        try:
            return bytes(self._context.unwrap(token).message)
        except self._gssapi.exceptions.GSSError as error:
            raise TicketRefused(f"Kerberos: {_words(error)}") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
