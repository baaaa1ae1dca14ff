"""What control rules make of mail: each action and condition met by a client on a real socket."""

import ssl
from base64 import b64encode
from typing import Any

import pytest

from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.control import ControlAction, ControlConfig, ControlRule
from tripost_shared.contracts.domains import RecipientKind
from tripost_shared.contracts.events import Fact

LOGIN = "C: AUTH PLAIN {}\nS: 235 *".format(b64encode(b"\0user@dest.example\0secret").decode())
SEND = "C: DATA\nS: 354 *\nC: Subject: hello\nC:\nC: .\nS: {}"


def rule(action: str, name: str = "the-rule", **conditions: Any) -> ControlRule:
    return ControlRule(name, ControlAction(action), **conditions)


def control(world: EdgeWorld, *rules: ControlRule) -> None:
    world.edge.take_control(ControlConfig(1, rules))


@pytest.mark.parametrize(
    ("conditions", "script"),
    [
        pytest.param({}, "C: MAIL FROM:<a@b.example>\nS: {}", id="everything, at MAIL"),
        pytest.param(
            {"reverse_paths": ("@bad.example", "<>")},
            "C: MAIL FROM:<a@good.example>\nS: 250 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<A@Bad.example>\nS: {}",
            id="reverse-path",
        ),
        pytest.param({"reverse_paths": ("<>",)}, "C: MAIL FROM:<>\nS: {}", id="null reverse-path"),
        pytest.param({"helo": (".example",)}, "C: MAIL FROM:<>\nS: {}", id="HELO"),
        pytest.param({"networks": ("127.0.0.0/8",)}, "C: MAIL FROM:<>\nS: {}", id="network"),
        pytest.param({"listeners": ("mx",)}, "C: MAIL FROM:<>\nS: {}", id="listener"),
        pytest.param(
            {"size_over_octets": 5000},
            "C: MAIL FROM:<> SIZE=5000\nS: 250 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<> SIZE=5001\nS: {}",
            id="announced size",
        ),
        pytest.param(
            {"recipients": ("bob@dest.example",)},
            "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: RCPT TO:<Bob@dest.example>\nS: 250 *\nS: 250 *\nS: {}",
            id="recipient",
        ),
        pytest.param(
            {"recipients": ("@dest.example",), "reverse_paths": ("x@y.example",)},
            "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *\nC: RSET\nS: 250 *\n"
            "C: MAIL FROM:<x@y.example>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: {}",
            id="sender and recipient",
        ),
    ],
)
@pytest.mark.parametrize(
    ("action", "reply"), [("deny", "550 5.7.1 Refused by the rules *"), ("tempfail", "451 4.7.1 Not taken now *")]
)
async def test_a_rule_refuses_as_soon_as_its_facts_are_there(
    world: EdgeWorld, dialog: Dialog, conditions: dict[str, Any], script: str, action: str, reply: str
) -> None:
    control(world, rule(action, **conditions))
    await dialog(script.format(reply))
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.rule, fact.detail) == ("the-rule", f"rule the-rule: {action}")


async def test_a_message_that_turns_out_larger_than_announced_is_refused_at_its_end(
    world: EdgeWorld, dialog: Dialog
) -> None:
    control(world, rule("deny", size_over_octets=10, text="Too heavy for us"))
    await dialog("C: MAIL FROM:<> SIZE=5\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *")
    await dialog(SEND.format("550 5.7.1 Too heavy for us (*"))
    assert world.spooled == []
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.rule, fact.stage) == ("the-rule", "data")


async def test_a_login_is_refused_what_others_may(world: EdgeWorld, submitting: Dialog) -> None:
    control(world, rule("deny", logins=("@dest.example",), recipients=(".elsewhere.example", "@elsewhere.example")))
    await submitting(LOGIN)
    await submitting("""C: MAIL FROM:<user@dest.example>
                        C: RCPT TO:<ann@dest.example>
                        C: RCPT TO:<far@elsewhere.example>
                        S: 250 *
                        S: 250 *
                        S: 550 5.7.1 *""")


async def test_an_allowed_recipient_is_not_denied_by_a_later_rule(world: EdgeWorld, dialog: Dialog) -> None:
    control(world, rule("allow", "but", recipients=("ann@dest.example",)), rule("deny"))
    await dialog("""C: MAIL FROM:<a@b.example>
                    C: RCPT TO:<bob@dest.example>
                    C: RCPT TO:<ann@dest.example>
                    S: 250 *
                    S: 550 5.7.1 *
                    S: 250 *""")


@pytest.mark.parametrize(
    ("action", "words"),
    [("hold", "Held for the administrator by rule the-rule"), ("quarantine", "Quarantined by rule the-rule")],
)
async def test_held_mail_is_accepted_and_marked_for_those_recipients(
    world: EdgeWorld, dialog: Dialog, action: str, words: str
) -> None:
    control(world, rule(action, recipients=("bob@dest.example",)))
    await dialog("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nC: RCPT TO:<bob@dest.example>\nS: 250 *\nS: 250 *")
    await dialog(f"S: 250 *\n{SEND.format('250 2.0.0 *')}")
    (message,) = world.spooled
    assert {each.address: each.held_because for each in message.envelope.recipients} == {
        "ann@dest.example": "",
        "bob@dest.example": words,
    }
    (fact,) = world.facts(Fact.ACCEPTED)
    assert fact.detail == f"rule the-rule: {action}"


async def test_a_redirected_recipient_is_replaced_by_its_target(world: EdgeWorld, dialog: Dialog) -> None:
    """Whether the address itself exists does not matter, and the target may be anywhere: an operator has named it."""
    control(
        world,
        rule("redirect", "near", recipients=("nobody@dest.example",), to="ann@dest.example"),
        rule("redirect", "far", recipients=("@elsewhere.example",), to="far@elsewhere.example"),
    )
    await dialog("""C: MAIL FROM:<>
                    C: RCPT TO:<nobody@dest.example>
                    C: RCPT TO:<other@elsewhere.example>
                    C: RCPT TO:<nobody2@dest.example>
                    S: 250 *
                    S: 250 2.1.5 *
                    S: 250 2.1.5 *
                    S: 550 5.1.1 *""")
    await dialog(SEND.format("250 *"))
    (message,) = world.spooled
    assert [(each.address, each.redirected_to) for each in message.envelope.recipients] == [
        ("nobody@dest.example", "ann@dest.example"),
        ("other@elsewhere.example", "far@elsewhere.example"),
    ]


async def test_the_target_of_a_redirection_is_no_way_to_relay(world: EdgeWorld, dialog: Dialog) -> None:
    control(world, rule("redirect", recipients=("ann@dest.example",), to="far@elsewhere.example"))
    await dialog("""C: MAIL FROM:<>
                    C: RCPT TO:<ann@dest.example>
                    C: RCPT TO:<far@elsewhere.example>
                    S: 250 *
                    S: 250 *
                    S: 550 5.7.1 Relaying denied*""")


async def test_a_redirection_that_leads_nowhere_is_put_off(world: EdgeWorld, dialog: Dialog) -> None:
    control(world, rule("redirect", to="nobody@dest.example"))
    await dialog("C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 451 4.3.5 *")
    world.tiers.kinds["nobody@dest.example"] = RecipientKind.LOCAL
    await dialog("C: RCPT TO:<ann@dest.example>\nS: 250 *")


async def test_a_field_is_added_below_ours(world: EdgeWorld, dialog: Dialog) -> None:
    control(
        world,
        rule("add-header", "mark", header_name="X-Class", header_value="bulk   mail", recipients=("ann@dest.example",)),
        rule("hold", "wait"),
    )
    await dialog("C: MAIL FROM:<>\nC: RCPT TO:<bob@dest.example>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *")
    await dialog(f"S: 250 *\n{SEND.format('250 *')}")
    (message,) = world.spooled
    assert message.header_fields.endswith(b"\r\nX-Class: bulk mail\r\n")
    assert message.header_fields.startswith(b"Received: ")
    (fact,) = world.facts(Fact.ACCEPTED)
    assert fact.detail == "rule wait: hold; rule mark: add-header"


async def test_a_change_of_rules_meets_open_sessions(
    world: EdgeWorld, dialog: Dialog, client_tls: ssl.SSLContext
) -> None:
    control(world, rule("deny"))
    await dialog("C: MAIL FROM:<>\nS: 550 5.7.1 *")
    control(world)
    await dialog("C: MAIL FROM:<>\nS: 250 *")


async def test_a_rule_that_cannot_be_read_refuses_nobody(world: EdgeWorld, dialog: Dialog) -> None:
    control(world, rule("deny", networks=("nonsense",)))
    await dialog("C: MAIL FROM:<>\nS: 250 *")
    assert list(world.edge.troubles()) == ["left out, since it cannot be read: rule the-rule"]
