"""Access rules through the API: their order, what is refused and why, hits, warnings, and the explanation."""

from datetime import timedelta
from typing import Any

import pytest

from admin_api import Api
from tripost_admin_api.api.access_bodies import AccessRuleBody, AccessRuleOut
from tripost_admin_api.api.access_explain import ExplainQuery, explained, facts_of
from tripost_admin_api.configuration.documents import read_access
from tripost_shared.access.warnings import KnownListener
from tripost_shared.contracts.access import HITS, AccessAction, AccessConfig, AccessRule, hits_key
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.listeners import LISTENERS_KEY
from tripost_shared.contracts.nodes import TRUSTED_PROXIES
from tripost_shared.database.models import ConfigDocument
from tripost_shared.nodes import serve_status

V1 = "/api/v1/access/rules"
EXPLAIN = "/api/v1/access/explain"


async def in_force(api: Api) -> tuple[AccessRule, ...]:
    async with api.parts.database.reading() as session:
        return (await read_access(session)).rules


async def order(api: Api) -> list[str]:
    return [rule.name for rule in await in_force(api)]


async def add(api: Api, name: str, action: str = "deny", **members: Any) -> dict[str, Any]:
    answer = await api.add("access/rules", name=name, action=action, **members)
    added: dict[str, Any] = answer.json()
    return added


def test_the_api_has_exactly_the_contracts_members_and_defaults() -> None:
    made = AccessRuleBody(name="a", action=AccessAction.DENY).rule(made_at=7)
    assert made == AccessRule("a", AccessAction.DENY, made_at=7)
    members = {*AccessRule.__struct_fields__} - {"made_at"}
    assert members == {*AccessRuleBody.model_fields}
    assert {*AccessRuleOut.model_fields} == {*members, "position", "hits", "last_hit_at", "warnings"}


async def test_a_rule_is_kept_as_it_is_said_in_one_spelling(api: Api) -> None:
    added = await add(
        api,
        "partner",
        "tarpit",
        networks=["192.0.2.7", "2001:DB8::/32", "192.0.2.7/32"],
        names=[".Example.ORG", "bücher.example"],
        helo=["mail.example.org", "[IPv6:2001:DB8::1]"],
        tls=False,
        listener="mx",
        comment="slow",
        tarpit_seconds=2.5,
    )
    assert added | {"hits": 0} == {
        "position": 1,
        "name": "partner",
        "action": "tarpit",
        "networks": ["192.0.2.7/32", "2001:db8::/32"],
        "names": [".example.org", "xn--bcher-kva.example"],
        "helo": ["mail.example.org", "[ipv6:2001:db8::1]"],
        "tls": False,
        "listener": "mx",
        "enabled": True,
        "comment": "slow",
        "reply": "",
        "tarpit_seconds": 2.5,
        "hits": 0,
        "last_hit_at": None,
        "warnings": [],
    }
    assert (await api.reader.get(f"{V1}/partner")).json() == added
    assert (await api.audited())[-1]["action"] == "access-rule.create"


async def test_rules_stand_where_they_are_put(api: Api) -> None:
    for name, place in (("c", {}), ("a", {"position": 1}), ("b", {"before": "c"}), ("d", {"after": "c"})):
        await add(api, name, **place)
    assert await order(api) == ["a", "b", "c", "d"]
    for body, expected in (
        ({"position": 99}, ["b", "c", "d", "a"]),
        ({"before": "d"}, ["b", "c", "a", "d"]),
        ({"after": "b"}, ["b", "a", "c", "d"]),
        ({"position": 1}, ["a", "b", "c", "d"]),
    ):
        moved = await api.admin.post(f"{V1}/a/move", json=body)
        assert (moved.status_code, await order(api)) == (200, expected)
        assert moved.json()["position"] == expected.index("a") + 1
    assert (await api.admin.delete(f"{V1}/b")).status_code == 204
    assert await order(api) == ["a", "c", "d"]
    first = (await api.reader.get(V1, params={"limit": 2})).json()
    rest = (await api.reader.get(V1, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in (*first["items"], *rest["items"])] == ["a", "c", "d"]
    assert rest["next_cursor"] is None


async def test_a_part_is_changed_and_the_rest_stays(api: Api) -> None:
    await add(api, "r", networks=["192.0.2.0/24"], reply="Go away")
    changed = await api.admin.patch(f"{V1}/r", json={"networks": None, "tls": True})
    assert changed.status_code == 200
    assert await in_force(api) == (AccessRule("r", AccessAction.DENY, tls=True, reply="Go away", made_at=1),)
    assert (await api.audited())[-1]["after"] == {"networks": [], "tls": True}
    renamed = await api.admin.patch(f"{V1}/r", json={"name": "s"})
    assert (renamed.status_code, renamed.json()["errors"][0]["field"]) == (422, "body.name")


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "Bad Name"}, "body.name", "accepted is what matches"),
    ({"action": "block"}, "body.action", "'allow', 'deny', 'tempfail' or 'tarpit'"),
    ({"networks": ["192.0.2.0/24", "x"]}, "body.networks[1]", "'x' is no network; accepted"),
    ({"networks": ["192.0.2.7/24"]}, "body.networks[0]", "192.0.2.0/24 is the network"),
    ({"networks": ["fe80::1%eth0"]}, "body.networks[0]", "without a zone"),
    ({"networks": "192.0.2.7"}, "body.networks", "accepted is a list"),
    ({"names": ["*.example.org"]}, "body.names[0]", "begin with a dot"),
    ({"names": ["a b"]}, "body.names[0]", "no domain name"),
    ({"helo": ["ok", "[not a literal"]}, "body.helo[1]", "no domain name"),
    ({"tls": "maybe"}, "body.tls", "accepted is true or false"),
    ({"listener": "No Such"}, "body.listener", "accepted is what matches"),
    ({"reply": "für immer"}, "body.reply", "printable ASCII"),
    ({"reply": "a\r\nb"}, "body.reply", "printable ASCII"),
    ({"action": "allow", "reply": "welcome"}, "body", "only deny and tempfail refuse"),
    ({"tarpit_seconds": 2}, "body", "only tarpit holds replies back"),
    ({"action": "tarpit", "tarpit_seconds": 61}, "body.tarpit_seconds", "accepted is 60"),
    ({"position": 0}, "body.position", "1 or more"),
    ({"position": 1, "before": "a"}, "body", "one of position, before and after"),
    ({"after": "nobody"}, "body.after", "no other access rule 'nobody'"),
    ({"network": ["192.0.2.7"]}, "body", "there is no field 'network' here; accepted: name"),
]


async def test_what_cannot_be_is_refused_with_field_and_reason_and_nothing_changes(api: Api) -> None:
    await add(api, "a")
    for members, field, reason in REFUSED:
        answer = await api.admin.post(V1, json={"name": "r", "action": "deny", **members})
        assert answer.status_code == 422, members
        (error,) = answer.json()["errors"]
        assert error["field"] == field, members
        assert reason in error["message"], members
    assert await order(api) == ["a"]


async def test_all_rules_are_replaced_at_once_or_none(api: Api) -> None:
    await add(api, "keeps", networks=["192.0.2.7"])
    await add(api, "goes")
    etag = (await api.reader.get(V1)).headers["etag"]
    rules = [{"name": "new", "action": "allow"}, {"name": "keeps", "action": "deny"}]
    for bad, field in (
        ([*rules, {"name": "x", "action": "deny", "networks": ["nonsense"]}], "body.rules[2].networks[0]"),
        ([*rules, rules[0]], "body.rules"),
    ):
        answer = await api.admin.put(V1, json={"rules": bad}, headers={"If-Match": etag})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert await order(api) == ["keeps", "goes"]
    replaced = await api.admin.put(V1, json={"rules": rules}, headers={"If-Match": etag})
    assert [item["name"] for item in replaced.json()["items"]] == ["new", "keeps"]
    assert [(rule.name, rule.made_at) for rule in await in_force(api)] == [("new", 3), ("keeps", 1)]
    late = await api.admin.put(V1, json={"rules": []}, headers={"If-Match": etag})
    assert late.status_code == 412
    for request in (
        api.admin.patch(f"{V1}/new", json={"enabled": False}, headers={"If-Match": etag}),
        api.admin.post(f"{V1}/new/move", json={"position": 2}, headers={"If-Match": etag}),
        api.admin.delete(f"{V1}/new", headers={"If-Match": etag}),
    ):
        assert (await request).status_code == 412
    assert await order(api) == ["new", "keeps"]


async def test_a_name_is_taken_once_and_what_is_not_there_is_not_found(api: Api) -> None:
    await add(api, "r")
    assert (await api.admin.post(V1, json={"name": "r", "action": "allow"})).status_code == 409
    for request in (
        api.reader.get(f"{V1}/x"),
        api.admin.patch(f"{V1}/x", json={}),
        api.admin.post(f"{V1}/x/move", json={"position": 1}),
        api.admin.delete(f"{V1}/x"),
    ):
        assert (await request).status_code == 404


async def test_hits_are_those_of_the_rule_as_it_was_made(api: Api) -> None:
    await add(api, "r")
    await api.cluster.counted.add_all(HITS, {hits_key("r", 1): 5, hits_key("old", 1): 9})
    (shown,) = (await api.reader.get(V1)).json()["items"]
    assert (shown["hits"], shown["last_hit_at"][:19]) == (5, f"{api.clock.now():%Y-%m-%dT%H:%M:%S}")
    await api.admin.patch(f"{V1}/r", json={"comment": "the same"})
    assert (await api.reader.get(f"{V1}/r")).json()["hits"] == 5
    await api.admin.delete(f"{V1}/r")
    assert (await add(api, "r"))["hits"] == 0
    api.cluster.is_connected = False
    assert (await api.reader.get(f"{V1}/r")).json()["hits"] is None


async def test_rules_that_never_match_are_told_in_every_answer(api: Api) -> None:
    assert (await add(api, "lost", listener="nowhere"))["warnings"] == [
        "never matches: there is no listener 'nowhere'; there are mx, proxy, submission, submissions"
    ]
    await add(api, "all")
    hidden = ["never matches: rule all before it matches all that it would"]
    assert (await add(api, "part", "allow", networks=["192.0.2.0/24"]))["warnings"] == hidden
    assert (await api.admin.post(f"{V1}/part/move", json={"before": "all"})).json()["warnings"] == []
    assert (await api.admin.patch(f"{V1}/part", json={"tls": False, "listener": "mx"})).json()["warnings"] == hidden


async def test_rules_may_be_about_configured_listeners(api: Api) -> None:
    async with api.parts.database.writing() as session:
        body = {"listeners": [{"name": "partners", "address": "192.0.2.1:465", "tls": "implicit"}]}
        session.add(ConfigDocument(key=LISTENERS_KEY, body=body))
    assert (await add(api, "r", listener="partners"))["warnings"] == []
    assert (await add(api, "s", listener="partners", tls=False))["warnings"][0] == (
        "never matches: all sessions of listener 'partners' are encrypted"
    )


async def explain(api: Api, address: str, **query: Any) -> dict[str, Any]:
    answer = await api.reader.get(EXPLAIN, params={"address": address, **query})
    assert answer.status_code == 200, answer.text
    explanation: dict[str, Any] = answer.json()
    return explanation


async def test_the_rule_that_decides_is_named_or_what_it_depends_on(api: Api) -> None:
    await add(api, "spammer", helo=["bad.example"], networks=["192.0.2.0/24"])
    await add(api, "partner", "allow", names=[".example.org"])
    await add(api, "mx-only", "tempfail", listener="mx", tls=False)
    told = await explain(api, "192.0.2.7", helo="BAD.example")
    assert (told["decision"], told["rule"]) == ("deny", "spammer")
    assert told["words"][0] == "Rule spammer (deny) decides: the client is refused (5yz)."
    told = await explain(api, "192.0.2.7", listener="mx")
    assert (told["decision"], told["rule"]) == ("open", None)
    assert told["candidates"] == [
        {"rule": "spammer", "action": "deny", "needs": ["helo"]},
        {"rule": "partner", "action": "allow", "needs": ["name"]},
        {"rule": "mx-only", "action": "tempfail", "needs": ["tls"]},
    ]
    assert "depends on what it says in HELO (--helo)" in told["words"][0]
    told = await explain(api, "198.51.100.1", listener="mx", name="", tls=False)
    assert (told["decision"], told["rule"]) == ("tempfail", "mx-only")
    told = await explain(api, "198.51.100.1", name="mx.example.org")
    assert (told["decision"], told["rule"]) == ("allow", "partner")
    told = await explain(api, "198.51.100.1", name="")
    assert (told["decision"], told["rule"]) == ("none", None)
    assert told["words"][:2] == [
        "No access rule matches: the client is let in.",
        "Listeners with rules of their own were left out (--listener): mx.",
    ]


async def test_what_else_concerns_the_address_is_told(api: Api) -> None:
    await api.add("relay-networks", network="192.0.2.0/24")
    await add(api, "friend", "allow", networks=["198.51.100.9"])
    proxies = {TRUSTED_PROXIES: "127.0.0.1/32, 203.0.113.1/32"}
    await serve_status(api.cluster.bus, "edge", lambda: True, lambda: proxies, clock=api.clock)
    until = api.clock.now() + timedelta(hours=1)
    for network in ("192.0.2.7", "198.51.100.0/24"):
        await api.cluster.banned.put(Ban(network, "abuse", api.clock.now(), until, "admin"), until)
    told = await explain(api, "198.51.100.1")
    assert told["ban"]["network"] == "198.51.100.0/24"
    assert told["words"][-1] == f"198.51.100.0/24 is banned until {until:%Y-%m-%d %H:%M:%S} UTC because of abuse."
    told = await explain(api, "198.51.100.9")
    assert told["words"][-1].endswith("but that does not concern this client: rule friend allows it.")
    told = await explain(api, "192.0.2.7")
    assert told["relay_network"] == "192.0.2.0/24"
    assert "that does not concern this client: it is in the relay network 192.0.2.0/24." in told["words"][1]
    told = await explain(api, "203.0.113.1")
    assert (told["trusted_proxy"], told["ban"]) == ("203.0.113.1/32", None)
    assert (await explain(api, "::1"))["loopback"] is True
    await api.add("xclient-networks", network="203.0.113.2/32")
    api.cluster.is_connected = False
    told = await explain(api, "198.51.100.1")
    assert told["words"][-1].startswith("Whether it is banned, or a trusted proxy by edge's own settings, is not known")
    assert (await explain(api, "203.0.113.2"))["trusted_proxy"] == "203.0.113.2/32"


async def test_a_question_that_cannot_be_answered_is_refused(api: Api) -> None:
    for query, field in (
        ({}, "query.address"),
        ({"address": "192.0.2.0/24"}, "query.address"),
        ({"address": "192.0.2.7", "listener": "nowhere"}, "query.listener"),
        ({"address": "192.0.2.7", "name": "a b"}, "query.name"),
        ({"address": "192.0.2.7", "tls": "maybe"}, "query.tls"),
    ):
        answer = await api.reader.get(EXPLAIN, params=query)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), query


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("listener", ["", "mx", "submissions"])
def test_on_a_listener_whose_sessions_are_all_encrypted_that_is_known(tls: bool, listener: str) -> None:
    known = KnownListener(listener, implicit_tls=listener == "submissions")
    config = AccessConfig(1, (AccessRule("r", AccessAction.DENY, tls=tls),))
    found = explained(config, facts_of(ExplainQuery(address="192.0.2.7", listener=listener), known))
    expected = ([True] if tls else []) if listener == "submissions" else [False]
    assert [one.is_certain for one in found] == expected
