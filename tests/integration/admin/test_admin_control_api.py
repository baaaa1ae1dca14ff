"""Control rules through the API: kept in their order, strict, safe against changes meanwhile."""

from typing import Any

from admin_api import Api
from tripost_admin_api.api.control_bodies import RuleBody
from tripost_admin_api.configuration.documents import read_control
from tripost_shared.contracts.control import ControlAction, ControlRule

V1 = "/api/v1/control/rules"


def test_the_api_has_exactly_the_contracts_fields_and_defaults() -> None:
    body = RuleBody(name="a", action=ControlAction.DENY)
    struct = ControlRule("a", ControlAction.DENY)
    assert set(RuleBody.model_fields) == set(struct.__struct_fields__)
    for name in RuleBody.model_fields:
        value = getattr(struct, name)
        assert getattr(body, name) == (list(value) if isinstance(value, tuple) else value)


async def names(api: Api) -> list[str]:
    items = (await api.reader.get(V1)).json()["items"]
    assert [item["position"] for item in items] == list(range(1, len(items) + 1))
    return [item["name"] for item in items]


async def test_rules_are_added_moved_changed_and_removed(api: Api) -> None:
    await api.add("control/rules", name="last", action="allow")
    await api.add(
        "control/rules",
        name="first",
        action="deny",
        reverse_paths=["Ann@Bad.Example", "@B.example", "<>"],
        before="last",
    )
    added = await api.add("control/rules", name="mid", action="hold", networks=["192.0.2.7"], before="last")
    assert added.headers["location"] == f"{V1}/mid"
    assert await names(api) == ["first", "mid", "last"]
    moved = await api.admin.post(f"{V1}/last/move", json={"position": 1})
    assert moved.json()["position"] == 1
    await api.admin.post(f"{V1}/first/move", json={"before": "last"})
    assert await names(api) == ["first", "last", "mid"]
    changed = await api.admin.patch(f"{V1}/first", json={"text": "Go away", "reverse_paths": None, "logins": ["*"]})
    assert changed.json()["reverse_paths"] == []
    assert (await api.admin.delete(f"{V1}/last")).status_code == 204
    async with api.parts.database.reading() as session:
        config = await read_control(session)
    assert config.rules == (
        ControlRule("first", ControlAction.DENY, logins=("*",), text="Go away"),
        ControlRule("mid", ControlAction.HOLD, networks=("192.0.2.7/32",)),
    )
    actions = [entry["action"] for entry in await api.audited()]
    assert actions == [
        *["control-rule.create"] * 3,
        *["control-rule.move"] * 2,
        "control-rule.update",
        "control-rule.delete",
    ]


async def test_all_rules_are_replaced_at_once(api: Api) -> None:
    await api.add("control/rules", name="old", action="deny")
    tag = (await api.reader.get(V1)).headers["etag"]
    body = {"rules": [{"name": name, "action": "deny"} for name in ("b", "a")]}
    answer = await api.admin.put(V1, json=body, headers={"If-Match": tag})
    assert answer.status_code == 200
    assert await names(api) == ["b", "a"]
    stale = await api.admin.put(V1, json={"rules": []}, headers={"If-Match": tag})
    assert (stale.status_code, await names(api)) == (412, ["b", "a"])
    for method, where, json in (
        ("POST", V1, {"name": "c", "action": "deny"}),
        ("PATCH", f"{V1}/a", {"enabled": False}),
        ("POST", f"{V1}/a/move", {"position": 1}),
        ("DELETE", f"{V1}/a", None),
    ):
        answer = await api.admin.request(method, where, json=json, headers={"If-Match": tag})
        assert answer.status_code == 412, where
    twice = await api.admin.put(V1, json={"rules": [{"name": "a", "action": "deny"}] * 2})
    assert twice.json()["errors"] == [{"field": "body.rules", "message": "the name a is given twice"}]
    wrong = await api.admin.put(V1, json={"rules": [body["rules"][0], {"name": "x", "action": "redirect"}]})
    assert wrong.json()["errors"] == [{"field": "body.rules[1]", "message": "redirect needs to"}]
    assert await names(api) == ["b", "a"]


async def test_the_list_comes_in_parts(api: Api) -> None:
    await api.admin.put(V1, json={"rules": [{"name": f"r{n}", "action": "deny"} for n in range(5)]})
    first = (await api.reader.get(V1, params={"limit": 3})).json()
    second = (await api.reader.get(V1, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in first["items"] + second["items"]] == [f"r{n}" for n in range(5)]
    assert second["next_cursor"] is None


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"action": "reject"}, "body.action", "'allow', 'deny'"),
    ({"name": "Bad Name"}, "body.name", "accepted is what matches"),
    ({"reverse_paths": ["bad.example"]}, "body.reverse_paths[0]", "neither of: an address"),
    ({"reverse_paths": ["*@bad.example"]}, "body.reverse_paths[0]", "all of a domain is @"),
    ({"recipients": ["<>"]}, "body.recipients[0]", "no recipient"),
    ({"logins": ["a"]}, "body.logins[0]", "neither of"),
    ({"networks": ["192.0.2.1/24"]}, "body.networks[0]", "bits set behind"),
    ({"helo": ["a b"]}, "body.helo[0]", "no domain name"),
    ({"size_over_octets": -1}, "body.size_over_octets", "0"),
    ({"to": "a@b.example"}, "body", "deny has no to"),
    ({"action": "redirect", "to": "nobody"}, "body", "no mail address"),
    ({"action": "redirect", "to": "a@b.example", "size_over_octets": 1}, "body", "before"),
    ({"action": "add-header", "header_name": "X-A"}, "body", "needs header_value"),
    ({"header_name": "Received"}, "body.header_name", "Tripost itself"),
    ({"header_name": "Content-Type"}, "body.header_name", "Tripost itself"),
    ({"header_name": "X A"}, "body.header_name", "no name of a header field"),
    ({"header_value": "a\r\nBcc: b"}, "body.header_value", "one line"),
    ({"text": "nö"}, "body.text", "printable ASCII"),
    ({"action": "hold", "text": "no"}, "body", "hold has no text"),
    ({"action": "limit", "rate": "gone"}, "body.rate", "there is no rate gone"),
    ({"before": "gone"}, "body.before", "no other rule 'gone'"),
    ({"recipient": ["a@b.example"]}, "body", "there is no field 'recipient'"),
]


async def test_what_makes_no_sense_is_refused_with_its_field(api: Api) -> None:
    for body, field, words in REFUSED:
        answer = await api.admin.post(V1, json={"name": "a", "action": "deny"} | body)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert (error["field"], words in error["message"]) == (field, True), error
    assert await names(api) == []


async def test_names_are_unique_kept_and_known(api: Api) -> None:
    await api.add("control/rules", name="a", action="deny")
    again = await api.admin.post(V1, json={"name": "a", "action": "allow"})
    assert (again.status_code, again.json()["detail"]) == (409, "There is a rule a already.")
    renamed = await api.admin.patch(f"{V1}/a", json={"name": "b"})
    assert renamed.json()["errors"][0]["field"] == "body.name"
    for method in ("GET", "DELETE"):
        assert (await api.admin.request(method, f"{V1}/gone")).status_code == 404
    assert (await api.admin.post(f"{V1}/a/move", json={})).status_code == 422
    assert (await api.reader.post(V1, json={"name": "b", "action": "deny"})).status_code == 403
