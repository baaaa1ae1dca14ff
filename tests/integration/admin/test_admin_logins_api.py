"""Mechanisms of a domain, secrets of its mailboxes, and application passwords through the API, on both databases."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from admin_api import LOGIN_KEY, Api
from tripost_admin_api.access.passwords import Passwords
from tripost_admin_api.configuration.documents import read_all
from tripost_shared.contracts.config import DIRECTORY_KEY
from tripost_shared.database.models import AppPassword, Base, Domain, Mailbox, MailboxSecret
from tripost_shared.logins.app_passwords import app_password_digest
from tripost_shared.logins.scram import ScramSecret, derive
from tripost_shared.logins.sealing import Binding

V1 = "/api/v1"
USER = "user@local.test"
PASSWORD = "correct horse"
ALL = ["SCRAM-SHA-256", "SCRAM-SHA-1", "GSSAPI", "CRAM-MD5", "PLAIN", "LOGIN"]


async def stored(api: Api) -> dict[str, bytes]:
    async with api.parts.database.reading() as session:
        return {row.mechanism: row.sealed for row in await session.scalars(select(MailboxSecret))}


async def opened(api: Api, mechanism: str) -> bytes:
    """Give a secret of the one mailbox."""
    async with api.parts.database.reading() as session:
        password_hash = await session.scalar(select(Mailbox.password_hash))
    return LOGIN_KEY.open((await stored(api))[mechanism], Binding(mechanism, USER, password_hash or ""))


async def revision(api: Api) -> int:
    async with api.parts.database.reading() as session:
        return int((await read_all(session))[DIRECTORY_KEY].revision)


async def with_mechanisms(api: Api, *mechanisms: str) -> None:
    await api.add("domains", name="local.test", mechanisms=list(mechanisms))
    await api.add("mailboxes", address=USER, password=PASSWORD)


async def test_a_domain_allows_plain_and_login_until_others_are_chosen(api: Api) -> None:
    assert (await api.add("domains", name="local.test")).json()["mechanisms"] == ["PLAIN", "LOGIN"]
    before = await revision(api)
    path = f"{V1}/domains/local.test"
    changed = await api.admin.patch(path, json={"mechanisms": ["LOGIN", "SCRAM-SHA-256", "LOGIN"]})
    assert changed.json()["mechanisms"] == ["SCRAM-SHA-256", "LOGIN"]
    assert (await api.reader.get(path)).json() == changed.json()
    assert await revision(api) > before  # the tiers forget what they remember
    assert (await api.admin.patch(path, json={"mechanisms": None})).json()["mechanisms"] == ["PLAIN", "LOGIN"]
    assert (await api.audited())[-1]["before"] == {"name": "local.test", "mechanisms": ["SCRAM-SHA-256", "LOGIN"]}


async def test_mechanisms_that_are_none_are_refused_and_nothing_changes(api: Api) -> None:
    await api.add("domains", name="local.test")
    bodies: list[dict[str, object]] = [{"mechanisms": ["DIGEST-MD5"]}, {"mechanisms": []}, {}]
    for body in bodies:
        refused = await api.admin.patch(f"{V1}/domains/local.test", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"][:15]) == (422, "body.mechanisms"), body
    assert (await api.reader.get(f"{V1}/domains/local.test")).json()["mechanisms"] == ["PLAIN", "LOGIN"]


async def test_secrets_are_made_for_the_domain_s_mechanisms_and_sealed(api: Api) -> None:
    await with_mechanisms(api, *ALL)
    sealed = await stored(api)
    assert set(sealed) == {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"}
    assert await opened(api, "CRAM-MD5") == PASSWORD.encode()
    scram = ScramSecret.from_octets(await opened(api, "SCRAM-SHA-256"), "sha256")
    assert scram == derive(PASSWORD, "sha256", scram.salt)
    assert (await api.reader.get(f"{V1}/mailboxes")).json()["items"][0]["secrets"] == sorted(sealed)
    assert (await api.reader.get(f"{V1}/mailboxes/{USER}")).json()["secrets"] == sorted(sealed)


async def test_neither_the_password_nor_what_is_derived_of_it_is_in_the_database(api: Api) -> None:
    await with_mechanisms(api, *ALL)
    async with api.parts.database.reading() as session:
        rows = [row for table in Base.metadata.sorted_tables for row in await session.execute(select(table))]
    everything = b"".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)
    sealed = await stored(api)
    scram = ScramSecret.from_octets(await opened(api, "SCRAM-SHA-1"), "sha1")
    assert sealed["SCRAM-SHA-1"] in everything
    for secret in (PASSWORD.encode(), scram.stored_key, scram.server_key, scram.salt):
        assert secret not in everything
        assert secret.hex().encode() not in everything


async def test_a_new_password_replaces_all_secrets_and_removing_it_removes_them(api: Api) -> None:
    await with_mechanisms(api, "PLAIN", "SCRAM-SHA-256", "CRAM-MD5")
    before = await stored(api)
    path = f"{V1}/mailboxes/User@LOCAL.test/password"
    assert (await api.admin.put(path, json={"password": "battery staple"})).status_code == 204
    after = await stored(api)
    assert set(after) == set(before)
    assert await opened(api, "CRAM-MD5") == b"battery staple"
    assert all(after[mechanism] != before[mechanism] for mechanism in after)
    assert (await api.admin.delete(path)).status_code == 204
    assert await stored(api) == {}
    shown = (await api.reader.get(f"{V1}/mailboxes/{USER}")).json()
    assert (shown["has_password"], shown["secrets"]) == (False, [])
    assert (await api.admin.delete(f"{V1}/mailboxes/who@local.test/password")).status_code == 404


async def test_a_mechanism_that_ends_takes_its_secrets_along_in_that_domain_alone(api: Api) -> None:
    await with_mechanisms(api, "PLAIN", "SCRAM-SHA-256", "CRAM-MD5")
    await api.add("domains", name="other.test", mechanisms=["CRAM-MD5"])
    await api.add("mailboxes", address="user@other.test", password=PASSWORD)
    await api.admin.patch(f"{V1}/domains/local.test", json={"mechanisms": ["SCRAM-SHA-256"]})
    shown = (await api.reader.get(f"{V1}/mailboxes")).json()["items"]
    assert [item["secrets"] for item in shown] == [["SCRAM-SHA-256"], ["CRAM-MD5"]]


@pytest.mark.parametrize("way", [f"mailboxes/{USER}", "domains/local.test?with_contents=true"])
async def test_what_a_mailbox_logs_in_by_goes_with_it(api: Api, way: str) -> None:
    await with_mechanisms(api, *ALL)
    await api.add(f"mailboxes/{USER}/app-passwords", name="phone")
    assert (await api.admin.delete(f"{V1}/{way}")).status_code == 204
    async with api.parts.database.reading() as session:
        for table in (MailboxSecret, AppPassword):
            assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_mechanisms_that_change_while_a_password_is_hashed_are_a_conflict(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_mechanisms(api, "PLAIN")
    make = api.parts.passwords.secrets

    async def make_then_change(*arguments: Any) -> Mapping[str, bytes]:
        made = await make(*arguments)
        await api.admin.patch(f"{V1}/domains/local.test", json={"mechanisms": ["CRAM-MD5"]})
        return made

    monkeypatch.setattr(api.parts.passwords, "secrets", make_then_change)
    refused = await api.admin.put(f"{V1}/mailboxes/{USER}/password", json={"password": "battery staple"})
    assert (refused.status_code, await stored(api)) == (409, {})


async def test_without_the_key_these_mechanisms_are_off_and_that_is_said(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_mechanisms(api, "CRAM-MD5")
    monkeypatch.setattr(api.parts.passwords, "_key", None)
    refused = await api.admin.patch(f"{V1}/domains/local.test", json={"mechanisms": ["PLAIN", "SCRAM-SHA-256"]})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["field"] == "body.mechanisms"
    assert "SCRAM-SHA-256: off, since TRIPOST_DATABASE_KEY_FILE is not set" in error["message"]
    await api.admin.put(f"{V1}/mailboxes/{USER}/password", json={"password": "battery staple"})
    assert await stored(api) == {}  # none of the former password either
    assert Passwords().makes_secrets is False


async def test_an_application_password_is_shown_once_and_kept_as_a_digest(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address=USER)
    before = await revision(api)
    expires_at = (api.clock.now() + timedelta(days=30)).isoformat()
    path = f"mailboxes/{USER}/app-passwords"
    made = await api.add(path, name="phone", networks=["192.0.2.0/24", "2001:db8::/32"], expires_at=expires_at)
    assert await revision(api) > before
    assert made.headers["location"] == f"/api/v1/{path}/phone".replace("@", "%40")
    password = made.json()["password"]
    shown = (await api.reader.get(f"{V1}/{path}/phone")).json()
    assert shown == {key: value for key, value in made.json().items() if key != "password"}
    assert (shown["scope"], shown["networks"]) == (["submission"], ["192.0.2.0/24", "2001:db8::/32"])
    assert (await api.reader.get(f"{V1}/{path}")).json()["items"] == [shown]
    async with api.parts.database.reading() as session:
        digest = await session.scalar(select(AppPassword.digest))
    assert digest == app_password_digest(password)
    assert password not in str(await api.audited())
    again = await api.admin.post(f"{V1}/{path}", json={"name": "phone"})
    assert again.status_code == 409


async def test_a_revoked_application_password_is_gone(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address=USER)
    path = f"{V1}/mailboxes/{USER}/app-passwords"
    await api.add(f"mailboxes/{USER}/app-passwords", name="phone")
    before = await revision(api)
    assert (await api.admin.delete(f"{path}/phone")).status_code == 204
    assert await revision(api) > before
    assert (await api.admin.delete(f"{path}/phone")).status_code == 404
    assert (await api.reader.get(f"{path}/phone")).status_code == 404
    assert (await api.audited())[-1]["action"] == "app-password.delete"


async def test_an_application_password_that_is_none_is_refused(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address=USER)
    bodies: list[tuple[dict[str, object], str]] = [
        ({"name": "my phone"}, "body.name"),
        ({"name": "phone", "networks": ["192.0.2.7/24"]}, "body.networks"),
        ({"name": "phone", "scope": ["imap"]}, "body.scope"),
        ({"name": "phone", "scope": []}, "body.scope"),
        ({"name": "phone", "expires_at": "2020-01-01"}, "body.expires_at"),
        ({"name": "phone", "password": "mine"}, "body"),
    ]
    for body, field in bodies:
        refused = await api.admin.post(f"{V1}/mailboxes/{USER}/app-passwords", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"][: len(field)]) == (422, field), body
    assert (await api.reader.get(f"{V1}/mailboxes/{USER}/app-passwords")).json()["items"] == []


async def test_a_mailbox_has_a_bounded_number_of_them(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tripost_admin_api.api.app_passwords.MOST", 2)
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address=USER)
    for name in ("one", "two"):
        await api.add(f"mailboxes/{USER}/app-passwords", name=name)
    refused = await api.admin.post(f"{V1}/mailboxes/{USER}/app-passwords", json={"name": "three"})
    assert refused.status_code == 409
    listed = await api.reader.get(f"{V1}/mailboxes/{USER}/app-passwords", params={"limit": 1})
    assert [item["name"] for item in listed.json()["items"]] == ["one"]
    following = {"cursor": listed.json()["next_cursor"]}
    listed = await api.reader.get(f"{V1}/mailboxes/{USER}/app-passwords", params=following)
    assert [item["name"] for item in listed.json()["items"]] == ["two"]


async def test_who_may_only_look_changes_nothing(api: Api) -> None:
    await with_mechanisms(api, "PLAIN")
    for answer in (
        await api.reader.post(f"{V1}/mailboxes/{USER}/app-passwords", json={"name": "phone"}),
        await api.reader.delete(f"{V1}/mailboxes/{USER}/password"),
        await api.reader.patch(f"{V1}/domains/local.test", json={"mechanisms": None}),
    ):
        assert answer.status_code == 403
    async with api.parts.database.reading() as session:
        assert await session.scalar(select(Domain.mechanisms)) == ["PLAIN"]
