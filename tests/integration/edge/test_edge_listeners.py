"""Listeners are opened, moved, changed and closed by the configuration, while sessions go on."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
from structlog.testing import capture_logs

from dialog import Dialog
from edge_process import until
from edge_world import EdgeWorld
from servers import free_port, free_ports
from tripost_edge.listeners import open_listeners
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.listeners import ListenerConfig, TlsMode
from tripost_shared.mail.client import ListenerKind

UP_TO_RCPT = "S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<{}>\nS: {}"


def at(port: int) -> str:
    return f"127.0.0.1:{port}"


async def opened(port: int, **options: object) -> Dialog:
    return await Dialog.open(("127.0.0.1", port), **options)  # type: ignore[arg-type]


async def is_refused(port: int) -> bool:
    try:
        (await opened(port)).writer.close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_listener_is_added_and_removed_and_its_session_goes_on(world: EdgeWorld) -> None:
    port = free_port()
    assert await is_refused(port)
    await world.configure(ListenerConfig("extra", address=at(port), limits={"size_limit_octets": 70_000}))
    async with await opened(port) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250-mx*\nS: 250-PIPELINING\nS: 250-SIZE 70000\nS: 250 *")
        await world.configure()
        assert await is_refused(port)
        await client(
            "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nC: DATA\nS: 354 *\nC: x\nC: ."
        )
        assert (await client.read_reply()).startswith("250 ")
    assert [each.client.listener for each in world.spooled] == ["extra"]
    async with await world.greeted():  # a built-in one is as it was
        pass


async def test_one_that_moves_serves_at_its_new_address_and_holds_open_sessions_to_new_limits(world: EdgeWorld) -> None:
    first, second = free_ports(2)
    await world.configure(ListenerConfig("extra", address=at(first)))
    async with await opened(first) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<> SIZE=100000\nS: 250 *\nC: RSET\nS: 250 *")
        await world.configure(ListenerConfig("extra", address=at(second), limits={"size_limit_octets": 70_000}))
        assert await is_refused(first)
        assert not await is_refused(second)
        await client("C: MAIL FROM:<> SIZE=100000\nS: 552 5.3.4 *")


async def test_a_built_in_one_is_closed_changed_and_opened_again_where_its_setting_says(
    running: Callable[..., Awaitable[EdgeWorld]],
) -> None:
    port, elsewhere = free_ports(2)
    world = await running(mx_listen=at(port))
    await world.configure(ListenerConfig("mx", enabled=False))
    assert await is_refused(port)
    await world.configure(ListenerConfig("mx", address=at(elsewhere)), ListenerConfig("other", address=at(port)))
    for number in (port, elsewhere):
        async with await opened(number) as client:
            await client("S: 220 *")
    await world.configure()
    assert await is_refused(elsewhere)
    async with await opened(port) as client:
        await client("S: 220 *")
    assert [listener.profile.name for listener in world.edge.listeners if listener.address[1] == port] == ["mx"]


async def test_two_change_places_and_a_new_one_takes_a_removed_ones(world: EdgeWorld) -> None:
    first, second = free_ports(2)
    await world.configure(ListenerConfig("a", address=at(first)), ListenerConfig("b", address=at(second)))
    await world.configure(ListenerConfig("a", address=at(second)), ListenerConfig("b", address=at(first)))
    assert places(world, ("a", "b")) == {"a": second, "b": first}
    await world.configure(ListenerConfig("c", address=at(second)), ListenerConfig("b", address=at(first)))
    assert places(world, ("a", "b", "c")) == {"b": first, "c": second}
    assert list(world.edge.troubles()) == []


def places(world: EdgeWorld, names: Iterable[str]) -> dict[str, int]:
    """Give the ports of listeners that are open."""
    return {each.profile.name: each.address[1] for each in world.edge.listeners if each.profile.name in names}


async def test_an_address_that_is_taken_is_a_trouble_told_once_until_it_is_free(
    world: EdgeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_listeners, "TRY_AGAIN_SECONDS", 0.01)
    with capture_logs() as logs, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await world.configure(ListenerConfig("extra", address=at(port)))
        assert list(world.edge.troubles()) == [
            f"extra: cannot be opened: {at(port)}: already in use by another process; "
            "set another address or port here, or end that process"
        ]
        await asyncio.sleep(0.05)  # several tries
        assert [line["event"] for line in logs].count("listener not opened") == 1
    await until(lambda: not list(world.edge.troubles()))
    async with await opened(port) as client:
        await client("S: 220 *")


async def test_no_two_listeners_are_open_at_one_address(running: Callable[..., Awaitable[EdgeWorld]]) -> None:
    """With several workers, which share addresses, the system would take both, and divide the clients among them."""
    port = free_port()
    world = await running(mx_listen=at(port), workers=2)
    await world.configure(ListenerConfig("other", address=f"0.0.0.0:{port}"))
    assert list(world.edge.troubles()) == [f"other: cannot be opened: 0.0.0.0:{port}: listener mx is at {at(port)}"]
    await world.configure(ListenerConfig("other", address=f"0.0.0.0:{port}"), ListenerConfig("mx", enabled=False))
    assert list(world.edge.troubles()) == []
    assert [each.address for each in world.edge.listeners if each.profile.name == "other"] == [("0.0.0.0", port)]


async def test_a_node_opens_only_what_is_for_it(running: Callable[..., Awaitable[EdgeWorld]]) -> None:
    world = await running(node="edge-1")
    mine, theirs = free_ports(2)
    await world.configure(
        ListenerConfig("mine", address=at(mine), nodes=("edge-0", "edge-1")),
        ListenerConfig("theirs", address=at(theirs), nodes=("edge-2",)),
        ListenerConfig("broken", address="nowhere"),
    )
    assert not await is_refused(mine)
    assert await is_refused(theirs)


async def test_without_tls_it_is_not_offered(world: EdgeWorld) -> None:
    port = free_port()
    await world.configure(ListenerConfig("plain", address=at(port), tls=TlsMode.NONE))
    async with await opened(port) as client:
        assert "STARTTLS" not in await client("S: 220 *\nC: EHLO c\nS: 250 *")
        await client("C: STARTTLS\nS: 502 5.5.1 *\nC: NOOP\nS: 250 *")


async def test_a_listener_offers_and_takes_its_own_mechanisms_only(
    world: EdgeWorld, client_tls: ssl.SSLContext
) -> None:
    port = free_port()
    listener = ListenerConfig("users", address=at(port), kind=ListenerKind.SUBMISSION, mechanisms=("PLAIN", "GSSAPI"))
    await world.configure(listener)
    async with await opened(port, tls=client_tls) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: STARTTLS\nS: 220 *\nC: EHLO c")
        offered = [line async for line in lines_of_reply(client)]
        assert [line[4:] for line in offered if line[4:].startswith("AUTH")] == ["AUTH PLAIN"]
        await client("C: AUTH LOGIN\nS: 504 5.5.4 *\nC: AUTH PLAIN AHVzZXJAZGVzdC5leGFtcGxlAHNlY3JldA==\nS: 235 *")


async def lines_of_reply(client: Dialog) -> AsyncIterator[str]:
    line = await client.read_line()
    while line[3:4] == "-":
        yield line
        line = await client.read_line()
    yield line


async def test_tls_first_holds_for_those_who_come_then(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    port = free_port()
    await world.configure(ListenerConfig("extra", address=at(port)))
    async with await opened(port) as before:
        await before("S: 220 *")
        await world.configure(ListenerConfig("extra", address=at(port), tls=TlsMode.IMPLICIT))
        async with await opened(port, tls=client_tls, implicit_tls=True) as client:
            await client("S: 220 *\nC: EHLO c\nS: 250 *")
        await before("C: EHLO c\nS: 250 *")
        await world.configure(ListenerConfig("extra", address=at(port)))
        async with await opened(port) as after:
            await after("S: 220 *")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n", id="version 1"),
        pytest.param(b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12), id="version 2"),
    ],
)
async def test_a_proxy_header_where_no_proxy_is_ends_the_session(world: EdgeWorld, header: bytes) -> None:
    with capture_logs() as logs:
        async with await world.dialog() as client:
            await client("S: 220 *")
            client.send(header + b"EHLO c\r\n")
            await client("S: <closed>")
    assert [line["because"] for line in logs if line["event"] == "client cut off"] == [
        "client sends a PROXY header, where no proxy is"
    ]


async def test_a_proxy_says_who_its_client_is_before_tls_and_others_are_cut_off(
    world: EdgeWorld, client_tls: ssl.SSLContext
) -> None:
    port = free_port()
    proxied = ListenerConfig("tls", address=at(port), tls=TlsMode.IMPLICIT, proxies=("127.0.0.1/32",))
    await world.configure(proxied)
    async with await opened(port, tls=client_tls) as client:
        for part in (b"PROXY TCP4 192.0.", b"2.7 192.0.2.1 4000 465\r\n"):
            client.send(part)
            await client.writer.drain()
        await client.writer.start_tls(client_tls, server_hostname="mx.tripost.example")
        await client(
            "S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *"
        )
        await client("C: DATA\nS: 354 *\nC: .\nS: 250 *")
    (spooled,) = world.spooled
    assert (spooled.client.address, spooled.client.port) == ("192.0.2.7", 4000)
    with capture_logs() as logs:
        for source, sent in (
            ("127.0.0.2", b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 465\r\n"),
            ("127.0.0.1", b"EHLO c\r\n"),
        ):
            async with await opened(port, source=source) as client:
                client.send(sent)
                await client("S: <closed>")
    because = [line["because"] for line in logs if line["event"] == "client cut off"]
    assert because == ["proxy is not a trusted one", "neither version 1 nor version 2"]


async def test_an_internal_listener_serves_relay_networks_and_this_machine_alone(world: EdgeWorld) -> None:
    port, behind_proxy = free_ports(2)
    internal = ListenerConfig("own", address=at(port), kind=ListenerKind.INTERNAL)
    await world.configure(
        internal,
        ListenerConfig("ours", address=at(behind_proxy), kind=ListenerKind.INTERNAL, proxies=("127.0.0.1/32",)),
    )
    async with await opened(port) as client:
        await client(UP_TO_RCPT.format("far@elsewhere.example", "250 *"))
        await client("C: RSET\nS: 250 *\nC: AUTH PLAIN\nS: 502 5.5.1 *")
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n"
    async with await opened(behind_proxy) as client:
        client.send(header)
        await client("S: 554 5.7.1 This service is for machines of ours only *\nS: <closed>")
    world.edge.take_config(EdgeConfig(relay_networks=("192.0.2.0/24",)))
    async with await opened(behind_proxy) as client:
        client.send(header)
        await client(UP_TO_RCPT.format("far@elsewhere.example", "250 *"))
        world.edge.take_config(EdgeConfig())
        await client("C: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 554 5.7.1 *\nS: <closed>")
