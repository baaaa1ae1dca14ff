"""Listeners and limits through the API: strict, in the audit, and on their way to edge."""

import json
from typing import Any

import msgspec

from admin_api import Api
from tripost_admin_api.api.listener_bodies import ListenerBody, configured
from tripost_admin_api.configuration.documents import read_edge, read_listeners
from tripost_shared.contracts.listeners import BUILT_IN, ListenerConfig
from tripost_shared.contracts.nodes import ListenerState
from tripost_shared.edge_limits import EdgeLimits, SessionLimits
from tripost_shared.mail.client import ListenerKind
from tripost_shared.nodes import serve_status

V1 = "/api/v1/listeners"


async def kept(api: Api) -> dict[str, ListenerConfig]:
    async with api.parts.database.reading() as session:
        return {listener.name: listener for listener in (await read_listeners(session)).listeners}


def test_the_api_has_exactly_the_contracts_fields_and_defaults() -> None:
    expected = json.loads(msgspec.json.encode(ListenerConfig("x")))
    del expected["name"]
    assert ListenerBody().model_dump(mode="json") == expected
    assert configured("submissions", ListenerBody()) == BUILT_IN["submissions"]


async def test_built_in_ones_are_listed_and_overridden_in_parts_only(api: Api) -> None:
    names = {item["name"] for item in (await api.reader.get(V1)).json()["items"]}
    assert names == {"mx", "submission", "submissions", "proxy"}
    answer = await api.admin.post(V1, json={"name": "submissions", "limits": {"errors_per_session": 3}})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{V1}/submissions"
    shown = (await api.reader.get(f"{V1}/submissions")).json()
    assert (shown["built_in"], shown["overrides"], shown["kind"], shown["tls"]) == (
        True,
        ["limits"],
        "submission",
        "implicit",
    )
    assert (await api.admin.post(V1, json={"name": "submissions"})).status_code == 409
    assert (await api.admin.delete(f"{V1}/submissions")).status_code == 204
    assert (await api.admin.delete(f"{V1}/submissions")).status_code == 404
    assert (await api.reader.get(f"{V1}/submissions")).json()["overrides"] == []


async def test_one_is_added_changed_in_parts_replaced_and_removed(api: Api) -> None:
    await api.add(
        "listeners", name="inside", address="[2001:DB8:0::1]:25", kind="internal", limits={"received_limit": 20}
    )
    patch = {"tls_minimum": "1.3", "limits": {"errors_per_session": 4, "received_limit": None}, "comment": "LAN"}
    answer = await api.admin.patch(f"{V1}/inside", json=patch)
    assert answer.status_code == 200, answer.text
    listener = (await kept(api))["inside"]
    assert listener.address == "[2001:db8::1]:25"
    assert (listener.kind, listener.limits, listener.comment) == (
        ListenerKind.INTERNAL,
        {"errors_per_session": 4},
        "LAN",
    )
    assert (await api.admin.put(f"{V1}/inside", json={"address": "192.0.2.1:25"})).status_code == 200
    assert (await kept(api))["inside"] == ListenerConfig("inside", address="192.0.2.1:25")
    assert (await api.admin.patch(f"{V1}/other", json={"comment": ""})).status_code == 404
    assert (await api.admin.put(f"{V1}/other", json={"address": "192.0.2.1:26"})).status_code == 404
    assert (await api.admin.delete(f"{V1}/inside")).status_code == 204
    entries = [entry for entry in await api.audited() if str(entry["action"]).startswith("listener.")]
    assert [entry["action"] for entry in entries] == [
        "listener.create",
        "listener.update",
        "listener.update",
        "listener.delete",
    ]
    after: Any = entries[1]["after"]
    assert after == {"tls_minimum": "1.3", "limits": {"errors_per_session": 4}, "comment": "LAN"}


async def test_a_change_is_refused_when_others_came_first(api: Api) -> None:
    etag = (await api.reader.get(V1)).headers["etag"]
    await api.add("listeners", name="a", address="192.0.2.1:25")
    answer = await api.admin.patch(f"{V1}/a", json={"enabled": False}, headers={"If-Match": etag})
    assert answer.status_code == 412
    now = (await api.reader.get(f"{V1}/a")).headers["etag"]
    assert (await api.admin.delete(f"{V1}/a", headers={"If-Match": now})).status_code == 204


WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"name": "Bad_Name"}, "body.name", "accepted"),
    ({"address": ""}, "body.address", "accepted is one like 192.0.2.1:25"),
    ({"address": "192.0.2.1"}, "body.address", "is not address:port"),
    ({"address": "192.0.2.1:0"}, "body.address", "accepted is a port from 1 to 65535"),
    ({"address": "[fe80::1%eth0]:25"}, "body.address", "zone"),
    ({"address": "192.0.2.9:25"}, "body.address", "192.0.2.9:25 is taken by listener first (0.0.0.0:25)"),
    ({"kind": "smtp"}, "body.kind", "accepted"),
    ({"kind": "submission", "tls": "none"}, "body.tls", "starttls or implicit"),
    ({"tls_minimum": "1.1"}, "body.tls_minimum", "accepted"),
    ({"ciphers": ["HIGH"]}, "body.ciphers[0]", "no suite of TLS 1.2 that is good enough; accepted: ECDHE-ECDSA-"),
    ({"ciphers": ["ADH-AES128-SHA"]}, "body.ciphers[0]", "no suite"),
    ({"ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"], "tls_minimum": "1.3"}, "body.ciphers", "are those of TLS 1.2"),
    ({"proxies": ["0.0.0.0/0"]}, "body.proxies[0]", "too much of the Internet"),
    ({"proxies": ["192.0.2.0/24", "192.0.2.0/24"]}, "body.proxies", "given twice"),
    ({"mechanisms": ["PLAIN"]}, "body.mechanisms", "belong to kind submission"),
    ({"kind": "submission", "mechanisms": ["DIGEST-MD5"]}, "body.mechanisms[0]", "accepted"),
    ({"limits": {"errors": 1}}, "body.limits.errors", "accepted: size_limit_octets, "),
    ({"limits": {"sessions_limit": 1}}, "body.limits.sessions_limit", "set it for all listeners"),
    ({"limits": {"errors_per_session": 0}}, "body.limits.errors_per_session", "accepted is 1 or more"),
    ({"limits": {"errors_per_session": True}}, "body.limits.errors_per_session", "accepted is a whole number"),
    ({"limits": {"errors_per_session": 1 << 60}}, "body.limits.errors_per_session", "at most"),
    ({"nodes": ["a b"]}, "body.nodes[0]", "accepted"),
    ({"comment": "two\nlines"}, "body.comment", "one line"),
    ({"adress": "192.0.2.2:25"}, "body", "there is no field 'adress' here; accepted: "),
)


async def test_what_cannot_be_is_refused_by_field_and_changes_nothing(api: Api) -> None:
    await api.add("listeners", name="first", address="0.0.0.0:25")
    for body, field, says in WRONG:
        answer = await api.admin.post(V1, json={"name": "second", "address": "192.0.2.2:2525", **body})
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert says in error["message"], body
    assert [*await kept(api)] == ["first"]


async def test_one_address_may_be_on_different_nodes_or_of_one_that_is_closed(api: Api) -> None:
    await api.add("listeners", name="a", address="192.0.2.1:25", nodes=["edge-0"])
    await api.add("listeners", name="b", address="192.0.2.1:25", nodes=["edge-1"])
    await api.add("listeners", name="c", address="192.0.2.1:25", enabled=False)
    assert (await api.admin.patch(f"{V1}/c", json={"enabled": True})).status_code == 422


async def test_it_is_told_where_a_listener_is_open_and_where_it_fails(api: Api) -> None:
    states = [ListenerState("mx", "192.0.2.1:25"), ListenerState("inside", "192.0.2.1:26", "already in use")]
    await serve_status(api.cluster.bus, "edge", lambda: True, node="edge-0", listeners=lambda: states)
    await api.add("listeners", name="inside", address="192.0.2.1:26")
    items = {item["name"]: item["open_at"] for item in (await api.reader.get(V1)).json()["items"]}
    (there,) = items["inside"]
    assert (there["node"], there["address"], there["trouble"]) == ("edge-0", "192.0.2.1:26", "already in use")
    assert [place["trouble"] for place in items["mx"]] == [""]
    assert items["submission"] == []
    api.cluster.is_connected = False
    assert (await api.reader.get(f"{V1}/mx")).json()["open_at"] == []


async def test_limits_are_set_and_reset_for_all_listeners(api: Api) -> None:
    answer = await api.reader.get("/api/v1/limits")
    assert answer.json() == dict.fromkeys(EdgeLimits.model_fields)
    first = answer.headers["etag"]
    changed = await api.admin.patch("/api/v1/limits", json={"errors_per_session": 3, "session_seconds": 60})
    assert (changed.json()["errors_per_session"], changed.json()["session_seconds"]) == (3, 60)
    stale = await api.admin.patch("/api/v1/limits", json={"errors_per_session": 4}, headers={"If-Match": first})
    assert stale.status_code == 412
    await api.admin.patch("/api/v1/limits", json={"errors_per_session": None})
    async with api.parts.database.reading() as session:
        assert (await read_edge(session)).limits == {"session_seconds": 60}
    assert [entry["after"] for entry in await api.audited() if entry["action"] == "limits.update"] == [
        {"errors_per_session": 3, "session_seconds": 60},
        {"errors_per_session": None},
    ]


WRONG_LIMITS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"no_such": 1}, "body.no_such", "there is no limit 'no_such' here; accepted: size_limit_octets"),
    ({"recipients_limit": 99}, "body.recipients_limit", "accepted is 100 or more"),
    ({"recipients_limit": "200"}, "body.recipients_limit", "accepted is a whole number"),
    ({"session_seconds": 0}, "body.session_seconds", "accepted is more than 0"),
)


async def test_a_limit_that_cannot_be_is_refused_by_field(api: Api) -> None:
    for patch, field, says in WRONG_LIMITS:
        answer = await api.admin.patch("/api/v1/limits", json={"errors_per_session": 3, **patch})
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert says in error["message"], patch
    async with api.parts.database.reading() as session:
        assert (await read_edge(session)).limits == {}


async def test_the_schema_names_every_limit_with_its_range(api: Api) -> None:
    document = (await api.reader.get("/api/v1/openapi.json")).json()
    schema = document["paths"]["/api/v1/limits"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(EdgeLimits.model_fields) > set(SessionLimits.model_fields)
    assert schema["properties"]["recipients_limit"]["maximum"] == 5000
