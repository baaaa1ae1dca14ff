"""Access rules on real sockets: every action, by every condition, at the stage at which it is known."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge_world import EdgeWorld
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule
from tripost_shared.contracts.config import EdgeConfig
from tripost_shared.contracts.events import Fact

ALLOW, DENY, TEMPFAIL, TARPIT = AccessAction
NAMED, REVERSE = "127.0.0.9", "9.0.0.127.in-addr.arpa"
UP_TO_MAIL = "S: 220 *\nC: EHLO client.example\nS: 250 *\nC: MAIL FROM:<>"
ACCEPTED = f"{UP_TO_MAIL}\nS: 250 2.1.0 *\nC: RCPT TO:<ann@dest.example>\nS: 250 *"

Start = Callable[..., Awaitable[EdgeWorld]]


def rule(name: str = "r", action: AccessAction = DENY, **conditions: Any) -> AccessRule:
    return AccessRule(name, action, **conditions)


def put(world: EdgeWorld, *rules: AccessRule, revision: int = 1) -> None:
    world.edge.take_access(AccessConfig(revision, rules))


@pytest.mark.parametrize(
    ("action", "reply"), [(DENY, "554 5.7.1 Access denied (*)"), (TEMPFAIL, "421 4.7.1 Access is not possible now*")]
)
@pytest.mark.parametrize(
    "conditions",
    [
        pytest.param({}, id="everyone"),
        pytest.param({"networks": ("127.0.0.8/29",)}, id="network"),
        pytest.param({"names": (".sender.example",)}, id="name"),
        pytest.param({"listener": "mx"}, id="listener"),
    ],
)
async def test_who_is_known_when_he_connects_is_refused_in_the_greetings_place(
    world: EdgeWorld, action: AccessAction, reply: str, conditions: dict[str, Any]
) -> None:
    world.names.add(f"{REVERSE} PTR mail.sender.example")
    put(world, rule("strangers", action, **conditions))
    async with await world.dialog(source=NAMED) as client:
        await client(f"S: {reply}\nS: <closed>")
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.stage, fact.rule, fact.detail) == ("connect", "strangers", "access rule strangers")
    assert (fact.client, fact.reply[:3]) == (NAMED, reply[:3])


@pytest.mark.parametrize(
    ("action", "reply"), [(DENY, "550 5.7.1 Access denied (*)"), (TEMPFAIL, "450 4.7.1 Access is not possible now*")]
)
@pytest.mark.parametrize(
    "conditions",
    [
        pytest.param({"helo": ("bad.example",)}, id="HELO"),
        pytest.param({"helo": (".example",), "networks": ("127.0.0.9",)}, id="HELO and network"),
        pytest.param({"helo": ("bad.example",), "names": ("mail.sender.example",)}, id="HELO and name"),
    ],
)
async def test_who_is_known_by_helo_is_refused_there_and_may_say_another(
    world: EdgeWorld, action: AccessAction, reply: str, conditions: dict[str, Any]
) -> None:
    world.names.add(f"{REVERSE} PTR mail.sender.example")
    put(world, rule("named", action, **conditions))
    async with await world.dialog(source=NAMED) as client:
        await client(f"S: 220 *\nC: HELO bad.example\nS: {reply}\nC: MAIL FROM:<>\nS: 503 5.5.1 Say EHLO first")
        await client(f"C: EHLO bad.example\nS: {reply}\nC: EHLO good.test\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
        await client(f"C: EHLO bad.example\nS: {reply}\nC: RCPT TO:<ann@dest.example>\nS: 250 *")
    assert {(fact.stage, fact.rule, fact.helo) for fact in world.facts(Fact.REFUSED)} == {
        ("hello", "named", "bad.example")
    }


@pytest.mark.parametrize(
    ("action", "reply"), [(DENY, "550 5.7.1 Access denied (*)"), (TEMPFAIL, "450 4.7.1 Access is not possible now*")]
)
async def test_who_does_not_encrypt_is_refused_at_mail(
    world: EdgeWorld, client_tls: ssl.SSLContext, action: AccessAction, reply: str
) -> None:
    put(world, rule("plain", action, tls=False))
    async with await world.dialog(tls=client_tls) as client:
        await client(f"{UP_TO_MAIL}\nS: {reply}\nC: STARTTLS\nS: 220 *\nC: EHLO c\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.stage, fact.rule) == ("mail", "plain")


async def test_who_encrypts_is_known_at_the_hello_after_starttls(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    put(world, rule("encrypted", tls=True))
    async with await world.dialog(tls=client_tls) as client:
        await client("S: 220 *\nC: EHLO c\nS: 250 *\nC: STARTTLS\nS: 220 *\nC: EHLO c\nS: 550 5.7.1 *")
        await client("C: MAIL FROM:<>\nS: 503 *")
    async with await world.dialog() as client:
        await client(ACCEPTED)


async def test_before_tls_the_connection_is_closed_without_a_word(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    put(world, rule("shut", listener="submissions"))
    reader, _ = await asyncio.open_connection(*world.addresses["submissions"])
    assert await reader.read() == b""
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.stage, fact.rule, fact.client) == ("connect", "shut", "127.0.0.1")
    assert world.edge.hits.take() == {("shut", 0): 1}
    put(world, rule("named", names=("mail.sender.example",)))  # that takes a while: it is told under TLS
    world.names.add(f"{REVERSE} PTR mail.sender.example")
    async with await world.dialog("submissions", tls=client_tls, implicit_tls=True, source=NAMED) as client:
        await client("S: 554 5.7.1 *\nS: <closed>")


async def test_a_rule_has_its_own_words_and_the_first_match_decides(world: EdgeWorld) -> None:
    put(
        world,
        rule("own", DENY, listener="mx", reply="Come to submission"),
        rule("friend", ALLOW, networks=("127.0.0.9",)),
        rule("off", DENY, enabled=False),
    )
    async with await world.dialog() as client, await world.dialog(source=NAMED) as friend:
        await client("S: 554 5.7.1 Come to submission (*)\nS: <closed>")
        await friend(ACCEPTED)
    async with await world.dialog("submission") as client:
        await client("S: 220 *")


async def test_a_name_opens_a_door_only_when_it_leads_back(world: EdgeWorld) -> None:
    put(world, rule("partner", ALLOW, names=(".sender.example",)), rule("rest"))
    world.names.add(f"{REVERSE} PTR mail.sender.example")
    async with await world.dialog(source=NAMED) as client:
        await client("S: 554 5.7.1 *\nS: <closed>")
    world.names.add("mail.sender.example A 127.0.0.9")
    async with await world.dialog(source=NAMED) as client:
        await client(ACCEPTED)


async def test_where_the_dns_fails_no_rule_holds_by_a_name_and_the_trace_says_so(world: EdgeWorld) -> None:
    world.names.add(f"{REVERSE} PTR SERVFAIL")
    put(world, rule("bad", names=(".example",)), rule("late", TEMPFAIL, helo=("late.example",)))
    async with await world.dialog(source=NAMED) as client:
        await client("S: 220 *\nC: EHLO late.example\nS: 450 *")
        await client(ACCEPTED.removeprefix("S: 220 *\n") + "\nC: DATA\nS: 354 *\nC: .\nS: 250 *")
    because = "reverse DNS not known, so no rule holds by it: SERVFAIL"
    assert world.facts(Fact.REFUSED)[0].detail == f"access rule late; {because}"
    (accepted,) = world.facts(Fact.ACCEPTED)
    assert [(one.check, one.result, one.because) for one in accepted.findings] == [("access", "temperror", because)]


async def test_the_dns_is_asked_only_where_a_rule_wants_to_know(world: EdgeWorld) -> None:
    put(world, rule("near", TEMPFAIL, networks=("127.0.0.1",)), rule("bad", names=(".example",), helo=("x.example",)))
    async with await world.dialog() as client:
        await client("S: 421 *\nS: <closed>")
    async with await world.dialog(source=NAMED) as client:
        await client(ACCEPTED)
    assert not world.names.questions
    async with await world.dialog(source=NAMED) as client:
        await client("S: 220 *\nC: EHLO x.example\nS: 250 *")
    assert world.names.questions == {(REVERSE, "PTR"): 1}


async def test_in_a_tarpit_every_reply_is_held_back_and_the_message_is_taken(running: Start) -> None:
    world = await running(content_timeout_seconds=0.15, content_rate_grace_seconds=0.05, content_minimum_rate=1000)
    put(world, rule("slow", TARPIT, tarpit_seconds=0.2))
    loop = asyncio.get_running_loop()
    async with await world.dialog() as client:
        for exchange in (
            "S: 220 *",
            "C: EHLO client.example\nS: 250 *",
            "C: MAIL FROM:<>\nC: RCPT TO:<ann@dest.example>\nS: 250 *\nS: 250 *",
            "C: DATA\nS: 354 *",
            "C: .\nS: 250 *",
            "C: QUIT\nS: 221 *",
        ):
            begun = loop.time()
            await client(exchange)
            assert loop.time() - begun > 0.19, exchange
    (accepted,) = world.facts(Fact.ACCEPTED)
    (finding,) = accepted.findings
    assert (finding.check, finding.result, finding.evidence) == ("access", "tarpit", {"rule": "slow"})


async def test_new_rules_hold_for_new_clients_at_once_and_in_open_sessions_from_the_next_mail_on(
    world: EdgeWorld,
) -> None:
    async with await world.dialog() as open_one:
        await open_one(ACCEPTED)
        put(world, rule("all"))
        async with await world.dialog() as late:
            await late("S: 554 5.7.1 *\nS: <closed>")
        await open_one("C: EHLO c\nS: 250 *")  # by the rules that it began with
        await open_one("C: MAIL FROM:<>\nS: 550 5.7.1 *")
        put(world, revision=2)
        await open_one("C: MAIL FROM:<>\nS: 250 *")


async def test_each_session_is_one_hit_of_the_rule_that_decides(world: EdgeWorld) -> None:
    put(world, rule("known", ALLOW, networks=("127.0.0.1",), made_at=3), rule("named", helo=("bad.example",)))
    async with await world.dialog() as client:
        await client(f"{ACCEPTED}\nC: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *")
    async with await world.dialog(source=NAMED) as client:
        await client("S: 220 *\nC: EHLO bad.example\nS: 550 *\nC: EHLO bad.example\nS: 550 *\nC: EHLO c\nS: 250 *")
    assert world.edge.hits.take() == {("known", 3): 1, ("named", 0): 1}
    assert world.edge.hits.take() == {}


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        pytest.param("PROXY TCP4 192.0.2.55 192.0.2.1 40000 25", True, id="the announced client"),
        pytest.param("PROXY TCP4 192.0.2.56 192.0.2.1 40000 25", False, id="another one"),
        pytest.param("PROXY UNKNOWN", False, id="nobody knows who"),
    ],
)
async def test_behind_a_proxy_the_rules_are_about_the_client_that_it_announces(
    world: EdgeWorld, header: str, refused: bool
) -> None:
    put(world, rule(networks=("192.0.2.55", "127.0.0.0/8")))
    async with await world.dialog("proxy") as client:
        await client(f"C: {header}\nS: {'554' if refused else '220'} *")


async def test_a_proxy_that_looks_whether_we_are_well_is_no_client(world: EdgeWorld) -> None:
    put(world, rule())
    async with await world.dialog("proxy") as client:
        client.send(b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
        await client(ACCEPTED)
    async with await world.dialog("proxy") as client:
        await client("C: PROXY UNKNOWN\nS: 554 *\nS: <closed>")


@pytest.mark.parametrize("listener", ["mx", "submissions"])
async def test_a_proxy_that_speaks_for_others_by_xclient_is_none_of_the_rules_business(
    world: EdgeWorld, client_tls: ssl.SSLContext, listener: str
) -> None:
    world.edge.take_config(EdgeConfig(xclient_networks=("127.0.0.1/32",)))
    put(world, rule("friend", ALLOW, networks=("192.0.2.7",)), rule("rest"))
    async with await world.dialog(listener, tls=client_tls, implicit_tls=listener == "submissions") as proxy:
        await proxy("S: 220 *\nC: EHLO proxy.example\nS: 250 *\nC: XCLIENT ADDR=192.0.2.7\nS: 220 *")
        await proxy("C: EHLO c\nS: 250 *\nC: XCLIENT ADDR=192.0.2.8\nS: 554 5.7.1 *\nS: <closed>")
    (fact,) = world.facts(Fact.REFUSED)
    assert (fact.client, fact.rule) == ("192.0.2.8", "rest")
    assert world.edge.details()["trusted proxies"] == "127.0.0.1/32"


async def test_clients_that_all_seem_to_have_one_address_are_a_trouble_of_the_edge(
    world: EdgeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tripost_edge.listeners.greeting.is_of_this_machine", lambda _: False)
    monkeypatch.setattr("tripost_edge.limits.one_address.SESSIONS", 3)
    monkeypatch.setattr("tripost_edge.limits.one_address.SECONDS", 0.0)
    put(world, rule("bad", networks=("127.0.0.9",)))
    for _ in range(3):  # one that is refused counts as well: then it may be the proxy that is refused
        async with await world.dialog(source=NAMED) as client:
            await client("S: 554 *\nS: <closed>")
    (trouble,) = world.edge.troubles()
    assert trouble.startswith("all of the last 3 clients came from 127.0.0.9")
