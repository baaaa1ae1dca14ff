"""One client that sends many commands at once does not hold up the others."""

import asyncio
import ssl

import pytest

from edge_world import EdgeWorld
from silent_transport import SilentTransport
from tripost_edge.listeners.context import ListenerProfile, ProfileInForce
from tripost_edge.listeners.smtp_session import SmtpSession
from tripost_edge.listeners.wire import LINES_IN_A_ROW
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.edge_limits import EdgeLimits
from tripost_shared.mail.client import ListenerKind


async def most_replies_between_turns(world: EdgeWorld, commands: bytes) -> int:
    """Let a session take the commands; gives how many replies it made at most before another task had its turn."""
    session = SmtpSession(
        asyncio.get_running_loop(),
        world.edge.context,
        ProfileInForce(ListenerProfile("mx", ListenerKind.MX, limits=EdgeLimits(greeting_delay_seconds=0))),
    )
    made = 0
    say = session.say

    def counted(reply: object) -> None:
        nonlocal made
        made += 1
        say(reply)  # type: ignore[arg-type] # what is said is passed on

    session.say = counted  # type: ignore[method-assign] # it is looked at, and does what it does
    session.connection_made(SilentTransport(session))
    session.data_received(b"EHLO c\r\n" + commands + b"QUIT\r\n")
    most = 0
    while len(world.edge.registry):
        before = made
        await asyncio.sleep(0)
        most = max(most, made - before)
    return most


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(b"NOOP\r\n" * 500, id="NOOP"),
        pytest.param(b"MAIL FROM:<>\r\nRSET\r\n" * 250, id="transactions that are dropped"),
    ],
)
async def test_others_have_their_turn_between_pipelined_commands(commands: bytes) -> None:
    world = EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), idle_commands_per_session=1000)
    assert await most_replies_between_turns(await world.serve(), commands) <= LINES_IN_A_ROW + 1


async def test_others_have_their_turn_between_recipients_beyond_the_limit() -> None:
    """They are taken by the hundred, and answered without a question to anyone."""
    world = await EdgeWorld(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).serve()
    world.tiers.kinds.update({f"r{number}@dest.example": RecipientKind.LOCAL for number in range(100)})
    accepted = b"".join(b"RCPT TO:<r%d@dest.example>\r\n" % number for number in range(100))
    beyond = b"RCPT TO:<ann@dest.example>\r\n" * 2000
    assert await most_replies_between_turns(world, b"MAIL FROM:<>\r\n" + accepted + beyond) < 250
