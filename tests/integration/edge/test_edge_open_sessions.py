"""What changes while a client stays connected."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import DirectoryChange, EdgeConfig, FilterConfig
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import Action, Verdict

Start = Callable[..., Awaitable[EdgeWorld]]
USER = "user@dest.example"
LOGIN = b64encode(f"\0{USER}\0secret".encode()).decode()


async def test_relay_networks_count_for_the_next_transaction_of_an_open_session(
    world: EdgeWorld, dialog: Dialog
) -> None:
    attempt = "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<far@elsewhere.example>\nS: {}\nC: RSET\nS: 250 *"
    await dialog(attempt.format("550 5.7.1 *"))
    world.edge.take_config(EdgeConfig(revision=1, relay_networks=("127.0.0.0/8",)))
    await dialog(attempt.format("250 2.1.5 *"))
    world.edge.take_config(EdgeConfig(revision=2))
    await dialog(attempt.format("550 5.7.1 *"))


async def test_a_block_under_a_new_policy_counts_for_the_next_transaction_of_an_open_session(
    world: EdgeWorld, dialog: Dialog
) -> None:
    attempt = "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<ann@dest.example>\nS: {}\nC: RSET\nS: 250 *"
    await dialog(attempt.format("250 2.1.5 *"))
    world.tiers.connection = Verdict(Action.REJECT, revision=1)
    world.edge.take_policy(FilterConfig(revision=1))
    await dialog(attempt.format("550 5.7.1 Refused by policy (*)"))


async def test_too_many_refused_recipients_end_the_session(running: Start) -> None:
    """Whoever tries out addresses must connect again and again."""
    world = await running(refusals_per_session=3)
    guess = "C: RCPT TO:<far@elsewhere.example>\nS: 550 5.7.1 *\n"
    async with await world.greeted() as client:
        await client("C: MAIL FROM:<>\nS: 250 *\n" + 3 * guess)
        await client(guess + "S: 421 4.7.0 *\nS: <closed>")


async def test_refusals_before_an_accepted_message_are_forgotten(running: Start) -> None:
    """A list with dead addresses among good ones passes."""
    world = await running(refusals_per_session=3)
    message = """C: MAIL FROM:<>
                 C: RCPT TO:<ann@dest.example>
                 C: RCPT TO:<off@dest.example>
                 C: RCPT TO:<far@elsewhere.example>
                 C: DATA
                 C: .
                 S: 250 *
                 S: 250 *
                 S: 550 *
                 S: 550 *
                 S: 354 *
                 S: 250 *\n"""
    async with await world.greeted() as client:
        await client(4 * message)


async def test_a_client_within_a_transaction_is_told_when_the_service_stops(world: EdgeWorld, dialog: Dialog) -> None:
    """Draining let it go on; the connection is not closed without a word (RFC 5321 §3.8)."""
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    draining = asyncio.create_task(world.edge.drain())
    await dialog("C: RCPT TO:<ann@dest.example>\nS: 250 *")
    world.edge.abort()
    await dialog("S: 421 4.3.2 *\nS: <closed>")
    async with asyncio.timeout(5):
        await draining


@pytest.mark.parametrize("reverse_path", ["", USER, "boss@dest.example"], ids=["null", "own", "foreign"])
@pytest.mark.parametrize("passwords", [{}, {USER: "another"}], ids=["disabled", "new password"])
async def test_a_login_that_is_over_sends_nothing_more_in_an_open_session(
    world: EdgeWorld, submitting: Dialog, passwords: dict[str, str], reverse_path: str
) -> None:
    """Whoever has stolen a password may have a session open when its owner changes it."""
    await submitting(f"""C: AUTH PLAIN {LOGIN}
                         S: 235 *
                         C: MAIL FROM:<>
                         S: 250 *
                         C: RSET
                         S: 250 *
                         C: MAIL FROM:<{USER}>
                         S: 250 *
                         C: RSET
                         S: 250 *""")
    world.tiers.passwords = passwords
    world.edge.take_directory_change(DirectoryChange(revision=2))
    await submitting(f"C: MAIL FROM:<{reverse_path}>\nS: 421 4.7.0 Login is not valid any more*\nS: <closed>")
    (event,) = world.facts(Fact.REFUSED)
    assert (event.stage, event.login, event.reverse_path) == ("mail", USER, reverse_path)


async def test_a_login_that_stands_goes_on_after_a_change_of_the_directory(
    world: EdgeWorld, submitting: Dialog
) -> None:
    await submitting(f"C: AUTH PLAIN {LOGIN}\nS: 235 *")
    for revision in range(3):
        world.edge.take_directory_change(DirectoryChange(revision=revision))
        await submitting(
            f"C: MAIL FROM:<{USER}>\nS: 250 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: RSET\nS: 250 *"
        )


async def test_when_domains_cannot_say_whether_a_login_stands_the_client_comes_again(
    world: EdgeWorld, submitting: Dialog
) -> None:
    await submitting(f"C: AUTH PLAIN {LOGIN}\nS: 235 *")
    world.bus.is_connected = False
    await submitting("C: MAIL FROM:<>\nS: 451 4.3.0 *")
