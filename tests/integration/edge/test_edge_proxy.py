"""Clients announced by the PROXY protocol."""

import struct
from collections.abc import Awaitable, Callable

import pytest

from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.filter import ConnectionQuestion

Start = Callable[..., Awaitable[EdgeWorld]]
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 55, 192, 0, 2, 1]) + struct.pack("!HH", 40000, 25)
IPV6 = bytes.fromhex("20010db8000000000000000000000055" + "20010db8000000000000000000000001")

MAPPED_LOOPBACK = bytes.fromhex("00000000000000000000ffff7f000001" + "20010db8000000000000000000000001" + "9c400019")


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


@pytest.mark.parametrize(
    ("header", "address"),
    [
        pytest.param(b"PROXY TCP4 192.0.2.55 192.0.2.1 40000 25\r\n", "192.0.2.55", id="v1 IPv4"),
        pytest.param(b"PROXY TCP6 2001:db8::55 2001:db8::1 40000 25\r\n", "2001:db8::55", id="v1 IPv6"),
        pytest.param(b"PROXY TCP6 ::ffff:192.0.2.55 ::1 40000 25\r\n", "192.0.2.55", id="v1 IPv4-mapped"),
        pytest.param(b"PROXY UNKNOWN\r\n", "127.0.0.1", id="v1 unknown"),
        pytest.param(v2(0x21, 0x11, IPV4), "192.0.2.55", id="v2 IPv4"),
        pytest.param(v2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), "192.0.2.55", id="v2 with a TLV"),
        pytest.param(v2(0x21, 0x21, IPV6 + struct.pack("!HH", 40000, 25)), "2001:db8::55", id="v2 IPv6"),
        pytest.param(v2(0x20, 0x00, b""), "127.0.0.1", id="v2 local"),
        pytest.param(v2(0x20, 0x11, IPV4), "127.0.0.1", id="v2 local with addresses"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_the_client_is_who_the_proxy_says(world: EdgeWorld, header: bytes, address: str, at_once: bool) -> None:
    async with await world.dialog("proxy") as client:
        if at_once:
            client.send(header)
        else:
            for octet in header:
                client.send(bytes((octet,)))
                await client.writer.drain()
        await client(
            "S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *"
        )
    (question,) = world.tiers.questions(ConnectionQuestion)
    assert (question.client.address, question.client.announced_by_proxy) == (address, True)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"EHLO client.example\r\n", id="none"),
        pytest.param(b"PROXY TCP4 192.0.2.55\r\n", id="v1 too short"),
        pytest.param(b"PROXY TCP4 2001:db8::1 192.0.2.1 1 25\r\n", id="v1 of another family"),
        pytest.param(b"PROXY TCP4 192.0.2.55 192.0.2.1 99999 25\r\n", id="v1 without a port"),
        pytest.param(b'PROXY TCP6 fe80::1%"><x ::1 1 2\r\n', id="v1 with a client's zone"),
        pytest.param(b"PROXY TCP6 fe80::1 fe80::2%lo 1 2\r\n", id="v1 with a zone of ours"),
        pytest.param(b"PROXY " + b"x" * 200, id="v1 without end"),
        pytest.param(v2(0x22, 0x11, IPV4), id="v2 with an unknown command"),
        pytest.param(v2(0x21, 0x11, IPV4[:4]), id="v2 too short"),
        pytest.param(v2(0x21, 0x31, b"x" * 216), id="v2 of a local socket"),
        pytest.param(v2(0x21, 0x11, b"x" * 5000), id="v2 too long"),
    ],
)
async def test_a_malformed_header_cuts_off(world: EdgeWorld, header: bytes) -> None:
    async with await world.dialog("proxy") as client:
        client.send(header)
        assert await client.read_to_end() == b""


async def test_the_header_must_come_in_time(running: Start) -> None:
    world = await running(proxy_header_seconds=0.05)
    async with await world.dialog("proxy") as client:
        client.send(b"PROXY TCP4")
        assert await client.read_to_end() == b""


async def test_only_trusted_proxies_may_announce(running: Start) -> None:
    world = await running(proxy_trusted_networks=["192.0.2.0/24"])
    async with await world.dialog("proxy") as client:
        client.send(b"PROXY TCP4 192.0.2.55 192.0.2.1 40000 25\r\n")
        assert await client.read_to_end() == b""


@pytest.mark.parametrize(
    ("listener", "header", "reply"),
    [
        pytest.param("mx", b"", "250 2.1.5 *", id="loopback itself"),
        pytest.param("proxy", b"PROXY TCP4 192.0.2.55 192.0.2.1 1 25\r\n", "250 2.1.5 *", id="announced, in a network"),
        pytest.param("proxy", b"PROXY TCP4 203.0.113.1 192.0.2.1 1 25\r\n", "550 5.7.1 *", id="announced, in none"),
        pytest.param("proxy", b"PROXY TCP4 127.0.0.1 192.0.2.1 1 25\r\n", "550 5.7.1 *", id="announced as loopback"),
        pytest.param("proxy", b"PROXY TCP6 ::1 2001:db8::1 1 25\r\n", "550 5.7.1 *", id="announced as IPv6 loopback"),
        pytest.param("proxy", b"PROXY TCP6 ::ffff:127.0.0.1 ::1 1 25\r\n", "550 5.7.1 *", id="as mapped loopback"),
        pytest.param("proxy", v2(0x21, 0x21, MAPPED_LOOPBACK), "550 5.7.1 *", id="v2, as mapped loopback"),
        pytest.param("proxy", b"PROXY TCP4 0.0.0.0 192.0.2.1 1 25\r\n", "550 5.7.1 *", id="as no address"),
        pytest.param("proxy", b"PROXY UNKNOWN\r\n", "550 5.7.1 *", id="not known to the proxy"),
        pytest.param("proxy", v2(0x20, 0x00, b""), "550 5.7.1 *", id="the proxy itself"),
        pytest.param("proxy", v2(0x21, 0x00, b""), "550 5.7.1 *", id="v2, not known to the proxy"),
    ],
)
async def test_relay_networks_permit_by_the_real_address(
    world: EdgeWorld, listener: str, header: bytes, reply: str
) -> None:
    world.edge.take_config(
        EdgeConfig(relay_networks=("192.0.2.0/24", "127.0.0.0/8", "::1/128", "0.0.0.0/8", "nonsense"))
    )
    async with await world.dialog(listener) as client:
        client.send(header)
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *")
        await client(f"C: RCPT TO:<far@elsewhere.example>\nS: {reply}")


async def test_a_network_that_a_proxy_announces_has_so_many_sessions(running: Start) -> None:
    world = await running(sessions_per_network=1)
    async with await world.dialog("proxy") as first, await world.dialog("proxy") as second:
        await first("C: PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\nS: 220 *")
        await second("C: PROXY TCP4 192.0.2.7 192.0.2.1 4712 25\nS: 421 4.7.0 *\nS: <closed>")
        async with await world.dialog("proxy") as third:
            await third("C: PROXY TCP4 192.0.2.8 192.0.2.1 4713 25\nS: 220 *")
        await first("C: QUIT\nS: 221 *\nS: <closed>")
    await world.until_sessions(0)
