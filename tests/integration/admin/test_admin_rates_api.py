"""Rates through the API, and what of them is used up."""

from datetime import timedelta
from typing import Any

from admin_api import Api
from tripost_admin_api.configuration.documents import read_control
from tripost_shared.contracts.control import Amounts, Rate, RateOverride, RateScope
from tripost_shared.control.rates import Limit
from tripost_shared.counters.port import count_at

V1 = "/api/v1/rates"
HOURLY = {"name": "hourly", "per": "login", "messages": {"hour": 100}}


async def test_a_rate_is_added_changed_and_removed(api: Api) -> None:
    overrides = [{"key": "News@Dest.Example", "recipients": {"day": 5000}}]
    added = await api.add("rates", **HOURLY, recipients={"minute": 10, "day": 500}, overrides=overrides)
    assert added.headers["location"] == f"{V1}/hourly"
    async with api.parts.database.reading() as session:
        (rate,) = (await read_control(session)).rates
    assert rate == Rate(
        "hourly",
        RateScope.LOGIN,
        Amounts(hour=100),
        Amounts(minute=10, day=500),
        overrides=(RateOverride("news@dest.example", recipients=Amounts(day=5000)),),
    )
    changed = await api.admin.patch(f"{V1}/hourly", json={"messages": {"hour": None, "day": 7}, "enabled": False})
    assert changed.json()["messages"] == {"minute": None, "hour": None, "day": 7}
    assert (await api.reader.get(f"{V1}/hourly")).json() == changed.json()
    assert [item["name"] for item in (await api.reader.get(V1)).json()["items"]] == ["hourly"]
    assert (await api.admin.delete(f"{V1}/hourly")).status_code == 204
    assert (await api.reader.get(f"{V1}/hourly")).status_code == 404
    assert [entry["action"] for entry in await api.audited()] == ["rate.create", "rate.update", "rate.delete"]


async def test_a_rate_that_a_rule_names_stays(api: Api) -> None:
    await api.add("rates", **HOURLY)
    await api.add("control/rules", name="news", action="limit", rate="hourly")
    answer = await api.admin.delete(f"{V1}/hourly")
    assert (answer.status_code, "control rule news names" in answer.json()["detail"]) == (409, True)
    again = await api.admin.post(V1, json=HOURLY)
    assert again.status_code == 409
    stale = await api.admin.patch(f"{V1}/hourly", json={"enabled": False}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": {}}, "body", "a rate limits something"),
    ({"messages": {"minute": 5, "day": 4}}, "body.messages", "minute is never reached"),
    ({"messages": {"hour": -1}}, "body.messages.hour", "0"),
    ({"messages": {"week": 1}}, "body.messages", "there is no field 'week'"),
    ({"per": "mailbox"}, "body.per", "'client', 'login'"),
    ({"name": "usage"}, "body.name", "another page"),
    ({"overrides": [{"key": "nobody"}]}, "body", "is not a login"),
    ({"overrides": [{"key": "a@b.example"}, {"key": "A@b.example"}]}, "body", "twice"),
    ({"per": "client", "overrides": [{"key": "x"}]}, "body", "an address or a network"),
]


async def test_what_makes_no_sense_is_refused_with_its_field(api: Api) -> None:
    for body, field, words in REFUSED:
        answer = await api.admin.post(V1, json=HOURLY | body)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert (error["field"], words in error["message"]) == (field, True), error
    assert (await api.reader.get(V1)).json()["items"] == []


async def count(api: Api, rate: str, key: str, amount: int, kind: str = "rate-messages", seconds: int = 3600) -> None:
    limit = Limit(rate, kind, key, seconds, 0)
    named = count_at(api.clock.now(), kind, limit.count_key, seconds, limit.group)
    await api.cluster.counters.add_all([(named, amount)])


async def test_the_use_of_a_key_is_told_for_every_limit_that_it_may_meet(api: Api) -> None:
    await api.add("rates", **HOURLY, recipients={"minute": 10})
    await api.add("rates", name="daily", per="client", messages={"day": 5})
    await count(api, "hourly", "login:ann@dest.example", 40)
    api.clock.advance(timedelta(minutes=90))
    await count(api, "hourly", "login:ann@dest.example", 80)
    answer = await api.reader.get(f"{V1}/usage", params={"key": "login:Ann@dest.example"})
    messages = {"rate": "hourly", "key": "login:ann@dest.example", "counts": "messages", "window": "hour"}
    recipients = messages | {"counts": "recipients", "window": "minute"}
    assert answer.json()["items"] == [
        messages | {"used": 100, "limit": 100, "used_share": 1.0, "frees_in_seconds": 90},
        recipients | {"used": 0, "limit": 10, "used_share": 0.0, "frees_in_seconds": 0},
    ]
    nothing = await api.reader.get(f"{V1}/usage", params={"key": "sender-domain:a.example"})
    assert nothing.json() == {"items": []}


async def test_the_keys_nearest_to_a_limit_come_first(api: Api) -> None:
    await api.add("rates", **HOURLY, overrides=[{"key": "news@dest.example", "messages": {"hour": 1000}}])
    await api.add("rates", name="daily", per="client", recipients={"day": 50})
    for login, amount in (("ann", 30), ("news", 90), ("bob", 70)):
        await count(api, "hourly", f"login:{login}@dest.example", amount)
    await count(api, "daily", "client:192.0.2.7", 25, "rate-recipients", 86_400)
    await count(api, "gone", "login:old@dest.example", 99)
    items = (await api.reader.get(f"{V1}/usage", params={"limit": 3})).json()["items"]
    assert [(item["key"], item["used"], item["limit"]) for item in items] == [
        ("login:bob@dest.example", 70, 100),
        ("client:192.0.2.7", 25, 50),
        ("login:ann@dest.example", 30, 100),
    ]


async def test_a_key_that_is_none_and_counts_that_cannot_be_read_are_said(api: Api) -> None:
    await api.add("rates", **HOURLY)
    answer = await api.reader.get(f"{V1}/usage", params={"key": "ann"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.key")
    api.cluster.is_connected = False
    answer = await api.reader.get(f"{V1}/usage")
    assert (answer.status_code, "cannot be read now" in answer.json()["detail"]) == (503, True)
