"""What changes while a client stays connected."""

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.config import EdgeConfig, FilterConfig
from tripost_shared.contracts.filter import Action, Verdict


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
