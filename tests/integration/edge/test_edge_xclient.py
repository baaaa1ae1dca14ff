"""XCLIENT from a trusted network: the session begins anew, as the client's that the proxy speaks for."""

import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.mail.reply import SmtpReply

Start = Callable[..., Awaitable[EdgeWorld]]
OURS = EdgeConfig(xclient_networks=("127.0.0.1/32",))
OFFER = "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
MESSAGE = (
    "C: MAIL FROM:<a@b.example>\nC: RCPT TO:<ann@dest.example>\nC: DATA\nS: 250 *\nS: 250 *\nS: 354 *\nC: .\nS: 250 *\n"
)


@pytest.fixture
async def trusting(world: EdgeWorld) -> EdgeWorld:
    world.edge.take_config(OURS)
    return world


@pytest.fixture
async def proxy(trusting: EdgeWorld) -> Dialog:
    return await trusting.greeted()


async def test_nobody_may_unless_the_configuration_says_so(world: EdgeWorld, dialog: Dialog) -> None:
    await dialog("C: XCLIENT ADDR=192.0.2.7\nS: 550 5.7.0 Not allowed to speak for others*\n" + MESSAGE)
    assert world.spooled[0].client.address == "127.0.0.1"
    world.edge.take_config(EdgeConfig(xclient_networks=("192.0.2.0/24",)))
    await dialog("C: XCLIENT ADDR=192.0.2.7\nS: 550 5.7.0 *")


async def test_it_is_offered_to_those_who_may(world: EdgeWorld, dialog: Dialog) -> None:
    assert OFFER not in await _offers(dialog)
    world.edge.take_config(OURS)
    assert OFFER in await _offers(dialog)
    await dialog("C: XCLIENT ADDR=192.0.2.7\nS: 220 mx.tripost.example ESMTP Tripost")
    assert OFFER in await _offers(dialog)
    world.edge.take_config(EdgeConfig())
    assert OFFER not in await _offers(dialog)
    await dialog("C: XCLIENT ADDR=192.0.2.7\nS: 550 5.7.0 *")


async def _offers(client: Dialog) -> list[str]:
    client.send(b"EHLO c.example\r\n")
    lines = [await client.read_line()]
    while lines[-1][3] == "-":
        lines.append(await client.read_line())
    return [line[4:] for line in lines]


async def test_the_session_begins_anew_as_the_clients(trusting: EdgeWorld, proxy: Dialog) -> None:
    await proxy("""C: XCLIENT NAME=c.example ADDR=192.0.2.7 PORT=4711 HELO=other.example PROTO=SMTP
                   S: 220 mx.tripost.example ESMTP Tripost
                   C: MAIL FROM:<>
                   S: 503 5.5.1 Say EHLO first
                   C: EHLO real.example
                   S: 250 *""")
    await proxy(MESSAGE)
    client = trusting.spooled[0].client
    assert (client.address, client.port, client.helo) == ("192.0.2.7", 4711, "real.example")
    assert (client.announced_by_proxy, client.unnamed_by_proxy, client.relay_permitted) == (True, False, False)
    assert b"from real.example ([192.0.2.7])" in trusting.spooled[0].header_fields


async def test_one_client_after_the_other(trusting: EdgeWorld, proxy: Dialog) -> None:
    for address, said in (("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "IPV6:2001:db8::7")):
        await proxy(f"C: XCLIENT ADDR={said}\nS: 220 *\nC: EHLO c.example\nS: 250 *\n" + MESSAGE)
        assert trusting.spooled[-1].client.address == address
    first, second = trusting.spooled
    assert first.id.partition(".")[0] != second.id.partition(".")[0]


async def test_a_client_that_the_proxy_does_not_know_is_a_stranger(trusting: EdgeWorld, proxy: Dialog) -> None:
    trusting.edge.take_config(EdgeConfig(xclient_networks=OURS.xclient_networks, relay_networks=("127.0.0.0/8",)))
    await proxy("C: XCLIENT ADDR=[UNAVAILABLE]\nS: 220 *\nC: EHLO c.example\nS: 250 *\n" + MESSAGE)
    client = trusting.spooled[0].client
    assert (client.unnamed_by_proxy, client.relay_permitted) == (True, False)


@pytest.mark.parametrize(("address", "reply"), [("192.0.2.7", "250"), ("198.51.100.7", "550"), ("127.0.0.1", "550")])
async def test_it_may_relay_by_the_announced_address(trusting: EdgeWorld, address: str, reply: str) -> None:
    """The proxy may itself; an announced loopback address may not."""
    trusting.edge.take_config(
        EdgeConfig(xclient_networks=OURS.xclient_networks, relay_networks=("127.0.0.0/8", "192.0.2.0/24"))
    )
    async with await trusting.greeted() as proxy:
        await proxy(f"""C: XCLIENT ADDR={address}
                        S: 220 *
                        C: EHLO c.example
                        S: 250 *
                        C: MAIL FROM:<>
                        S: 250 *
                        C: RCPT TO:<far@elsewhere.example>
                        S: {reply} *""")


@pytest.mark.parametrize(
    "argument", ["", "ADDR=nowhere", "ADDR=192.0.2.7 LOGIN=user@dest.example", "ADDR=192.0.2.7 ADDR=192.0.2.8"]
)
async def test_bad_values_change_nothing(trusting: EdgeWorld, proxy: Dialog, argument: str) -> None:
    await proxy(f"C: XCLIENT {argument}\nS: 501 5.5.4 *\n" + MESSAGE)
    assert trusting.spooled[0].client.address == "127.0.0.1"


async def test_it_has_no_place_in_a_transaction(proxy: Dialog) -> None:
    await proxy("""C: MAIL FROM:<>
                   S: 250 *
                   C: XCLIENT ADDR=192.0.2.7
                   S: 503 5.5.1 *
                   C: RCPT TO:<ann@dest.example>
                   S: 250 *
                   C: XCLIENT ADDR=192.0.2.7
                   S: 503 5.5.1 *""")


async def test_a_login_is_over_with_its_client(trusting: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    login = b64encode(b"\0user@dest.example\0secret").decode()
    async with await trusting.greeted("submission", tls=client_tls) as client:
        await client(f"""C: STARTTLS
                         S: 220 *
                         C: EHLO c.example
                         S: 250 *
                         C: AUTH PLAIN {login}
                         S: 235 *
                         C: XCLIENT ADDR=192.0.2.7
                         S: 220 *
                         C: EHLO c.example
                         S: 250 *
                         C: MAIL FROM:<user@dest.example>
                         S: 530 5.7.0 *""")


async def test_a_refused_client_is_refused_by_the_filter(trusting: EdgeWorld, proxy: Dialog) -> None:
    trusting.tiers.connection = Verdict(Action.REJECT, reply=SmtpReply(554, "5.7.1", "Listed"))
    await proxy("""C: XCLIENT ADDR=192.0.2.7
                   S: 220 *
                   C: EHLO c.example
                   S: 250 *
                   C: MAIL FROM:<>
                   S: 250 *
                   C: RCPT TO:<ann@dest.example>
                   S: 554 5.7.1 *""")


async def test_clients_of_one_network_are_counted(running: Start) -> None:
    """The proxy's own connections are not."""
    world = await running(sessions_per_network=1)
    world.edge.take_config(OURS)
    first, second, third = [await world.greeted() for _ in range(3)]
    await first("C: XCLIENT ADDR=192.0.2.7\nS: 220 *")
    await second("C: XCLIENT ADDR=192.0.2.8\nS: 220 *")
    await third("C: XCLIENT ADDR=192.0.2.7\nS: 421 4.7.0 *\nS: <closed>")


async def test_whom_a_proxy_announces_as_this_machine_may_not(running: Start) -> None:
    world = await running()
    world.edge.take_config(OURS)
    async with await world.dialog("proxy") as client:
        client.send(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\nEHLO c.example\r\nXCLIENT ADDR=192.0.2.7\r\n")
        await client("S: 220 *\nS: 250 *\nS: 550 5.7.0 *")


async def test_neither_proxy_nor_client_waits_for_the_greeting(running: Start) -> None:
    """What talks too early would be the proxy, whoever its client is."""
    world = await running(greeting_delay_seconds=20)
    world.edge.take_config(OURS)
    async with await world.greeted() as proxy:
        proxy.send(b"XCLIENT ADDR=192.0.2.7\r\nEHLO c.example\r\n")
        await proxy("S: 220 *\nS: 250 *")
