"""Aliases through the API: where they may lead, and where not."""

from urllib.parse import quote

import pytest

from admin_api import Api
from tripost_shared.mail.lookup import MAX_DEPTH

V1 = "/api/v1"


async def test_a_catch_all_is_an_alias_named_by_a_star(api: Api) -> None:
    await api.add("domains", name="local.test")
    for name in ("a", "c"):
        await api.add("mailboxes", address=f"{name}@local.test")
    made = await api.add("aliases", address="*@local.test", targets=["a@local.test", "b@other.example", "a@local.test"])
    assert made.json()["targets"] == ["a@local.test", "b@other.example"]
    changed = await api.admin.put(f"{V1}/aliases/*@local.test", json={"targets": ["c@local.test"]})
    assert changed.json()["targets"] == ["c@local.test"]
    assert (await api.reader.get(f"{V1}/aliases/{quote('*@local.test')}")).json()["targets"] == ["c@local.test"]
    assert (await api.admin.delete(f"{V1}/aliases/*@local.test")).status_code == 204


async def directory(api: Api) -> None:
    """The mailbox ann, ben's that is disabled, and the alias info that leads to ann."""
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="ann@local.test")
    await api.add("mailboxes", address="ben@local.test", enabled=False)
    await api.add("aliases", address="info@local.test", targets=["ann@local.test"])


@pytest.mark.parametrize(
    ("address", "targets", "told"),
    [
        pytest.param("new@", ["nobody@"], "nobody@local.test is neither a mailbox nor an alias", id="nobody there"),
        pytest.param("new@", ["ann@", "nobody@"], "nobody@local.test is neither", id="one of two is not there"),
        pytest.param("*@", ["nobody@"], "nobody@local.test leads back to *@local.test", id="a catch-all into itself"),
        pytest.param("new@", ["new+tag@"], "new+tag@local.test leads back to new@local.test", id="itself, in detail"),
        pytest.param("new@", ["ben@"], "every mailbox that it leads to is disabled", id="a disabled mailbox"),
        pytest.param("ann@", ["x@far.example"], "there is a mailbox ann@local.test", id="over a mailbox"),
    ],
)
async def test_no_alias_is_made_that_leads_to_nobody_or_back_to_itself(
    api: Api, address: str, targets: list[str], told: str
) -> None:
    await directory(api)
    body = {"address": whole(address), "targets": list(map(whole, targets))}
    answer = await api.admin.post(f"{V1}/aliases", json=body)
    assert (answer.status_code, told in answer.json()["detail"]) == (422, True), answer.text


def whole(address: str) -> str:
    return address + "local.test" if address.endswith("@") else address


@pytest.mark.parametrize(
    "target",
    ["ann@", "ann+news@", "info@", "x@far.example", "x@[192.0.2.1]", "postmaster@", "Abuse@"],
    ids=["mailbox", "with detail", "alias", "foreign", "address literal", "postmaster", "abuse"],
)
async def test_an_alias_may_lead_wherever_mail_is_taken(api: Api, target: str) -> None:
    await directory(api)
    made = await api.add("aliases", address="new@local.test", targets=[whole(target)])
    assert [named.lower() for named in made.json()["targets"]] == [whole(target).lower()]


async def test_a_loop_through_other_aliases_is_refused_with_the_way_back(api: Api) -> None:
    await directory(api)
    await api.add("aliases", address="sales@local.test", targets=["info@local.test"])
    path = f"{V1}/aliases/info@local.test"
    refused = await api.admin.put(path, json={"targets": ["ann@local.test", "sales@local.test"]})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "targets: sales@local.test leads back to info@local.test"
    assert (await api.reader.get(path)).json()["targets"] == ["ann@local.test"]


async def test_aliases_behind_aliases_end_where_domains_follows_no_further(api: Api) -> None:
    await directory(api)
    await api.add("aliases", address="a1@local.test", targets=["ann@local.test"])
    for number in range(2, MAX_DEPTH + 1):
        await api.add("aliases", address=f"a{number}@local.test", targets=[f"a{number - 1}@local.test"])
    body = {"address": "last@local.test", "targets": [f"a{MAX_DEPTH}@local.test"]}
    refused = await api.admin.post(f"{V1}/aliases", json=body)
    assert (refused.status_code, "one behind the other" in refused.text) == (422, True)


async def test_aliases_are_found_by_where_they_lead(api: Api) -> None:
    await directory(api)
    await api.add(
        "aliases", address="all@local.test", targets=["ben@far.example", "Ann@Local.test", "dörte@far.example"]
    )

    async def leading_to(target: str) -> list[str]:
        answer = await api.reader.get(f"{V1}/aliases", params={"target": target})
        return [item["address"] for item in answer.json()["items"]]

    assert await leading_to("ANN@local.test") == ["all@local.test", "info@local.test"]
    assert await leading_to("@far.example") == ["all@local.test"]
    assert await leading_to("dörte@far.example") == ["all@local.test"]
    assert await leading_to("nn@local.test") == []
    refused = await api.reader.get(f"{V1}/aliases", params={"target": "bogus"})
    assert refused.status_code == 422


async def test_an_unknown_name_falls_to_the_catch_all(api: Api) -> None:
    await directory(api)
    await api.add("aliases", address="*@local.test", targets=["ann@local.test"])
    made = await api.add("aliases", address="new@local.test", targets=["anybody@local.test"])
    assert made.json()["targets"] == ["anybody@local.test"]


async def test_a_mailbox_does_not_hide_an_alias_unasked(api: Api) -> None:
    await directory(api)
    refused = await api.admin.post(f"{V1}/mailboxes", json={"address": "info@local.test"})
    assert (refused.status_code, "there is an alias info@local.test" in refused.text) == (422, True)


async def test_an_alias_may_have_a_quoted_name_with_a_slash(api: Api) -> None:
    await api.add("domains", name="local.test")
    address = '"odd/ name"@local.test'
    await api.add("aliases", address=address, targets=["a@far.example"])
    path = f"{V1}/aliases/{quote(address, safe='')}"
    assert (await api.reader.get(path)).json()["address"] == address
