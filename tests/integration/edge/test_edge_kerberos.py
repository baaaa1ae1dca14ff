"""Logins by Kerberos (RFC 4752): a real KDC, MIT's library on both sides, a real socket between."""

import ssl
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from kdc import REALM, Kdc
from tripost_domains.adapters.gssapi_acceptor import GssapiAcceptor
from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.logins import Logins
from tripost_domains.sasl.kerberos import Kerberos
from tripost_domains.sasl.questions import SaslQuestions
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.sasl import Mechanism, sasl_of
from tripost_shared.settings import SettingsError

pytestmark = pytest.mark.needs("krb5kdc", "kadmin.local", "python: gssapi")

USER = "user@dest.example"
SMTP = "mx.tripost.example"


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    with Kdc(tmp_path_factory.mktemp("kdc")) as kdc:
        yield kdc


@pytest.fixture(scope="module")
def keytabs(kdc: Kdc) -> dict[str, Path]:
    names = ("user", "who", "user/admin", "off")
    users = {name: kdc.keytab(f"{name}@{REALM}") for name in names}
    return users | {"services": kdc.keytab(f"smtp/{SMTP}@{REALM}", f"host/{SMTP}@{REALM}")}


@pytest.fixture
def krb5(kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)


Client = Callable[[], Awaitable[Dialog]]


@pytest.fixture
async def client(world: EdgeWorld, keytabs: dict[str, Path], krb5: None, client_tls: ssl.SSLContext) -> Client:
    """Connect clients to an edge whose domains take tickets."""
    records = MemoryDirectoryRecords(f"mailbox {USER}", "mailbox off@dest.example disabled")
    records.allow("dest.example", "GSSAPI")
    logins = Logins(records, FrozenClock())
    acceptor = GssapiAcceptor(keytabs["services"])
    kerberos = Kerberos(acceptor, {REALM: "dest.example"}, logins, FrozenClock())
    questions = SaslQuestions(logins, {Mechanism.GSSAPI: kerberos}, kerberos.instance)
    world.tiers.mechanisms, world.tiers.sasl = ("GSSAPI",), questions.answer
    await world.bus.serve(sasl_of(kerberos.instance), questions.answer)

    async def connect() -> Dialog:
        return await world.greeted("submissions", tls=client_tls, implicit_tls=True)

    return connect


def security_context(keytab: Path, principal: str, *, service: str = "smtp", mutual: bool = True) -> Any:
    """The client's side, by the library."""
    gssapi = import_module("gssapi")
    name = gssapi.Name(principal, gssapi.NameType.kerberos_principal)
    store = {"client_keytab": f"FILE:{keytab}", "ccache": f"MEMORY:{principal}{service}{mutual}"}
    flags = [gssapi.RequirementFlag.integrity] + ([gssapi.RequirementFlag.mutual_authentication] if mutual else [])
    return gssapi.SecurityContext(
        name=gssapi.Name(f"{service}@{SMTP}", gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(name=name, usage="initiate", store=store),
        mech=gssapi.MechType.kerberos,
        flags=flags,
        usage="initiate",
    )


def in_base64(octets: bytes) -> str:
    return b64encode(octets).decode()


async def log_in(client: Dialog, context: Any, authorization: str = "", *, layer: bytes = b"\x01\0\0\0") -> str:
    """Play RFC 4752 §3.1; gives the reply that ends it."""
    reply = await client(f"C: AUTH GSSAPI {in_base64(context.step())}\nS: *")
    while reply.startswith("334 ") and not context.complete:
        token = context.step(b64decode(reply[4:]))
        reply = await client(f"C: {in_base64(token or b'')}\nS: *")
    if not reply.startswith("334 "):
        return reply
    offered = context.unwrap(b64decode(reply[4:])).message
    assert offered == b"\x01\0\0\0"  # no layer, and so no octets in one
    chosen = context.wrap(layer + authorization.encode(), False).message
    return await client(f"C: {in_base64(chosen)}\nS: *")


@pytest.mark.parametrize("mutual", [True, False], ids=["mutual", "the client alone"])
@pytest.mark.parametrize("authorization", ["", USER, f"user@{REALM}"], ids=["nobody named", "oneself", "the principal"])
async def test_a_ticket_lets_its_user_in(
    client: Client, keytabs: dict[str, Path], authorization: str, mutual: bool
) -> None:
    async with await client() as dialog:
        context = security_context(keytabs["user"], f"user@{REALM}", mutual=mutual)
        assert (await log_in(dialog, context, authorization)).startswith("235 2.7.0 ")


@pytest.mark.parametrize(
    ("user", "service", "authorization", "because"),
    [
        pytest.param("user", "smtp", "boss@dest.example", "to act for another identity", id="for another"),
        pytest.param("who", "smtp", "", "no such mailbox", id="no mailbox"),
        pytest.param("off", "smtp", "", "the mailbox is disabled", id="disabled"),
        pytest.param("user/admin", "smtp", "", "of no realm that is configured, or no user's", id="no user"),
        pytest.param("user", "host", "", "a ticket for another service than smtp", id="another service"),
    ],
)
async def test_others_are_refused_alike_and_the_trace_says_why(
    world: EdgeWorld,
    client: Client,
    keytabs: dict[str, Path],
    user: str,
    service: str,
    authorization: str,
    because: str,
) -> None:
    async with await client() as dialog:
        context = security_context(keytabs[user], f"{user}@{REALM}", service=service)
        reply = await log_in(dialog, context, authorization)
    assert reply.startswith("535 5.7.8 Authentication credentials invalid")
    assert because in world.facts(Fact.REFUSED)[0].detail


async def test_what_is_no_ticket_or_another_layer_is_refused(client: Client, keytabs: dict[str, Path]) -> None:
    async with await client() as dialog:
        await dialog("C: AUTH GSSAPI YWJj\nS: 535 5.7.8 *")
        context = security_context(keytabs["user"], f"user@{REALM}")
        assert (await log_in(dialog, context, layer=b"\x04\0\x10\0")).startswith("501 5.5.2 ")


def test_a_keytab_that_cannot_be_used_is_told(kdc: Kdc, krb5: None, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TRIPOST_DOMAINS_GSSAPI_KEYTAB: No such file"):
        GssapiAcceptor(tmp_path / "none")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"TRIPOST_DOMAINS_GSSAPI_KEYTAB: .* has no key"):
        GssapiAcceptor(tmp_path / "empty")
