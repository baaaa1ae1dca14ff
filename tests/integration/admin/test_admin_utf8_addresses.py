"""Addresses beyond ASCII through the API, on both databases (RFC 6531, RFC 6532)."""

from urllib.parse import quote

import pytest
from sqlalchemy import select

from admin_api import Api
from admin_queue import queued
from tripost_shared.contracts.queue import MAILBOX_HOP
from tripost_shared.database.models import Mailbox, SenderGrant

V1 = "/api/v1"
COMPOSED = "\u00e9ve@local.test"
TAKEN_APART = "E\u0301ve@local.test"
GROWING = [
    pytest.param("\u023a" * 32 + "@local.test", id="two octets become three"),
    pytest.param("\u0130" * 32 + "@local.test", id="a letter becomes a letter and a dot"),
    pytest.param("\ufb2c" * 21 + "@local.test", id="one that is never composed"),
]


async def directory(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test")


async def test_one_name_is_one_mailbox_whichever_way_its_accent_is_written(api: Api) -> None:
    await directory(api)
    assert (await api.add("mailboxes", address=TAKEN_APART)).json()["address"] == COMPOSED
    again = await api.admin.post(f"{V1}/mailboxes", json={"address": COMPOSED})
    assert again.status_code == 409
    for path in (COMPOSED, TAKEN_APART, COMPOSED.upper()):
        assert (await api.reader.get(f"{V1}/mailboxes/{quote(path)}")).json()["address"] == COMPOSED
    in_the_way = await api.admin.post(f"{V1}/aliases", json={"address": TAKEN_APART, "targets": ["user@local.test"]})
    assert in_the_way.status_code == 422


@pytest.mark.parametrize("address", GROWING)
async def test_an_address_that_is_too_long_in_its_stored_form_is_refused(api: Api, address: str) -> None:
    """It has 64 octets as it is given."""
    await directory(api)
    for path, body in (
        ("mailboxes", {"address": address}),
        ("aliases", {"address": address, "targets": ["user@local.test"]}),
        ("mailboxes/user@local.test/grants", {"pattern": address}),
    ):
        refused = await api.admin.post(f"{V1}/{path}", json=body)
        assert (path, refused.status_code) == (path, 422)
        assert "longer than 64 octets in lower case" in refused.json()["errors"][0]["message"]
    for path in ("mailboxes", "aliases", "mailboxes/user@local.test/grants"):
        assert (await api.reader.get(f"{V1}/{path}/{quote(address)}")).status_code == 404


async def test_an_alias_may_lead_to_a_foreign_address_whatever_its_length_in_lower_case(api: Api) -> None:
    await directory(api)
    foreign = "\u023a" * 32 + "@far.example"
    made = await api.add("aliases", address="info@local.test", targets=[foreign])
    assert made.json()["targets"] == [foreign]


@pytest.mark.parametrize("given", ["*@local.test", "*@Far.example", '"*"@local.test'])
async def test_a_grant_with_a_star_is_refused_with_what_was_meant(api: Api, given: str) -> None:
    """It would be one for the address whose name is a star."""
    await directory(api)
    refused = await api.admin.post(f"{V1}/mailboxes/user@local.test/grants", json={"pattern": given})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["message"].endswith(f"give @{given.rpartition('@')[2].lower()}")


async def test_a_grant_with_a_star_of_an_earlier_release_is_shown_and_removed(api: Api) -> None:
    await directory(api)
    async with api.parts.database.writing() as session:
        mailbox = (await session.scalars(select(Mailbox))).one()
        session.add(SenderGrant(mailbox_id=mailbox.id, pattern="*@local.test", created_at=api.clock.now()))
    path = f"{V1}/mailboxes/user@local.test/grants/*@local.test"
    assert (await api.reader.get(path)).json()["pattern"] == "*@local.test"
    assert (await api.admin.delete(path)).status_code == 204


SPELLINGS = [
    pytest.param("\u00c9ve@far.example", id="as it was written"),
    pytest.param("\u00e9VE@Far.example", id="in other case"),
    pytest.param("e\u0301ve@far.example", id="its accent after the letter"),
]


@pytest.mark.parametrize("wanted", SPELLINGS)
@pytest.mark.parametrize("written", ["\u00c9ve@far.example", "E\u0301ve@far.example"], ids=["composed", "apart"])
async def test_what_is_queued_is_found_by_any_spelling_of_its_addresses(api: Api, written: str, wanted: str) -> None:
    identifier = await queued(api, (written, "deferred"), reverse_path=written)
    await queued(api, ("eve@far.example", "deferred"), reverse_path="eve@far.example")
    for name in ("recipient", "sender"):
        found = (await api.reader.get(f"{V1}/queue/messages", params={name: wanted})).json()["items"]
        assert [item["id"] for item in found] == [identifier]
    held = await api.admin.post(f"{V1}/queue/messages/{identifier}/hold", json={"recipients": [wanted]})
    assert held.json()["changed"] == [written]


@pytest.mark.parametrize("wanted", SPELLINGS)
async def test_an_alias_is_found_by_any_spelling_of_its_target(api: Api, wanted: str) -> None:
    await directory(api)
    await api.add("aliases", address="info@local.test", targets=["\u00c9ve@far.example"])
    await api.add("aliases", address="other@local.test", targets=["eve@far.example"])
    found = (await api.reader.get(f"{V1}/aliases", params={"target": wanted})).json()["items"]
    assert [item["address"] for item in found] == ["info@local.test"]


@pytest.mark.parametrize("recipient", ["\u00c9ve@local.test", "\u00c9ve+x@local.test", "E\u0301ve+x@local.test"])
async def test_mail_that_is_queued_for_a_mailbox_in_any_spelling_is_told_at_its_removal(
    api: Api, recipient: str
) -> None:
    await directory(api)
    await api.add("mailboxes", address=COMPOSED)
    await queued(api, (recipient, "deferred"), next_hop=MAILBOX_HOP)
    refused = await api.admin.delete(f"{V1}/mailboxes/{quote(COMPOSED)}")
    assert (refused.status_code, "1 delivery is queued" in refused.json()["detail"]) == (409, True)
