"""What is to be done for a message's recipients."""

import pytest

from tripost_domains.delivery.plan import Target, plan
from tripost_domains.directory.model import (
    DeadEnd,
    Expansion,
    ExpansionKind,
    HopKind,
    MailboxDestination,
    NextHop,
    RelayDestination,
    Resolution,
)
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.mail.envelope import Recipient

ANN = MailboxDestination("ann@dest.example", "dest.example", "ann")
HOP = NextHop(HopKind.MX, "other.example")


def local(*destinations: MailboxDestination | RelayDestination) -> Resolution:
    return Resolution(RecipientKind.LOCAL, destinations)


def test_recipients_of_one_next_hop_go_together() -> None:
    bob, eve = Recipient("bob@other.example"), Recipient("eve@other.example")
    made = plan((each, local(RelayDestination(each.address, HOP))) for each in (bob, eve))
    assert made.relays == {HOP: [Target(bob, bob.address), Target(eve, eve.address)]}


def test_a_mailbox_that_several_recipients_lead_to_gets_one_copy() -> None:
    made = plan([(Recipient("info@dest.example"), local(ANN)), (Recipient("ann@dest.example"), local(ANN))])
    assert [mailbox for _, mailbox in made.mailboxes] == [ANN]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("of_alias", "own", "both"),
    [
        pytest.param(("NEVER",), ("FAILURE",), ("FAILURE",), id="nothing beside failure"),
        pytest.param(("SUCCESS",), (), ("FAILURE",), id="success of the alias beside the default"),
        pytest.param(("FAILURE",), ("SUCCESS",), ("SUCCESS", "FAILURE"), id="failure beside success"),
        pytest.param((), ("DELAY",), ("FAILURE", "DELAY"), id="the default beside delay"),
        pytest.param(("NEVER",), ("NEVER",), ("NEVER",), id="nothing"),
        pytest.param((), (), (), id="the default"),
    ],
)
def test_what_two_recipients_lead_to_is_told_of_as_either_wished_and_as_the_one_that_was_named(
    of_alias: tuple[str, ...], own: tuple[str, ...], both: tuple[str, ...], *, turned: bool
) -> None:
    bob = RelayDestination("bob@other.example", HOP)
    expansion = Expansion("list@dest.example", ExpansionKind.ALIAS, (bob.recipient,))
    given = [
        (
            Recipient("list@dest.example", of_alias, "rfc822;list"),
            Resolution(RecipientKind.LOCAL, (bob,), (expansion,)),
        ),
        (Recipient(bob.recipient, own, "rfc822;bob"), local(bob)),
    ]
    made = plan(reversed(given) if turned else given)
    assert made.relays == {HOP: [Target(Recipient(bob.recipient, both, "rfc822;bob"), bob.recipient)]}


def test_what_was_settled_before_is_not_done_again() -> None:
    relay = RelayDestination("bob@other.example", HOP)
    made = plan([(Recipient("info@dest.example"), local(ANN, relay))], settled={"bob@other.example"})
    assert made.relays == {}
    assert len(made.mailboxes) == 1


def test_the_targets_of_an_alias_keep_what_the_sender_asked_for() -> None:
    recipient = Recipient("info@dest.example", ("NEVER",), "rfc822;info@dest.example")
    (target, _), *_ = plan([(recipient, local(ANN))]).mailboxes
    assert target == Target(Recipient(ANN.address, recipient.notify, recipient.original), recipient.address)


def test_a_recipient_that_is_gone_since_fails() -> None:
    """Edge took it; then it was deleted or switched off."""
    made = plan(
        [
            (Recipient("gone@dest.example"), Resolution(RecipientKind.UNKNOWN)),
            (Recipient("off@dest.example"), Resolution(RecipientKind.DISABLED)),
        ]
    )
    assert [each.outcome.reply.enhanced for each in made.refused] == ["5.1.1", "5.2.1"]


def test_expansions_are_told_with_what_was_left_out() -> None:
    step = Expansion("info@dest.example", ExpansionKind.ALIAS, ("ann@dest.example", "gone@dest.example"))
    resolution = Resolution(RecipientKind.LOCAL, (ANN,), (step,), (DeadEnd("gone@dest.example", "no such mailbox"),))
    made = plan([(Recipient("info@dest.example"), resolution)])
    assert made.expansions == [(step, "gone@dest.example leads nowhere: no such mailbox")]
