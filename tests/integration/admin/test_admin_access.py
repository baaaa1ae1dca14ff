"""Who gets in: tokens and operators, how they come and go. What they may do is in test_admin_permissions.py."""

import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from admin_api import ONE_TIME_PASSWORD, Api
from tripost_admin_api.api.application import build_api, build_application
from tripost_shared.database.models import ApiToken, Operator

V1 = "/api/v1"


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in build_api().openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path.replace("{", "").replace("}", "")


def basic(password: str, name: str = "admin") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


async def test_only_health_is_public(api: Api) -> None:
    answer = await api.nobody.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    api.parts.started.clear()
    assert (await api.nobody.get("/healthz")).status_code == 503


async def test_a_new_token_is_shown_once_and_kept_as_a_hash(api: Api) -> None:
    made = (await api.add("tokens", name="backup", scope="admin")).json()
    token = made["token"]
    assert token.startswith("tripost_")
    assert len(token) > 43
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.nobody.post(f"{V1}/domains", json={"name": "a.test"}, headers=headers)).status_code == 201
    for answer in (await api.reader.get(f"{V1}/tokens/backup"), await api.reader.get(f"{V1}/tokens")):
        assert token not in answer.text
    assert token not in str(await api.audited())
    async with api.parts.database.reading() as session:
        rows = [row.token_sha256 for row in await session.scalars(select(ApiToken))]
    assert token not in str(rows)


async def test_a_removed_token_is_refused_at_once(api: Api) -> None:
    made = (await api.add("tokens", name="short")).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.nobody.get(f"{V1}/domains", headers=headers)).status_code == 200
    assert (await api.admin.delete(f"{V1}/tokens/short")).status_code == 204
    assert_problem(await api.nobody.get(f"{V1}/domains", headers=headers), 401)


async def test_a_token_revokes_itself_by_force_only(api: Api) -> None:
    made = (await api.add("tokens", name="own", scope="admin")).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    refused = await api.nobody.delete(f"{V1}/tokens/own", headers=headers)
    assert_problem(refused, 409)
    assert "the token that this request itself came with" in refused.json()["detail"]
    assert (await api.nobody.get(f"{V1}/domains", headers=headers)).status_code == 200
    assert (await api.nobody.delete(f"{V1}/tokens/own?force=true", headers=headers)).status_code == 204
    assert_problem(await api.nobody.get(f"{V1}/domains", headers=headers), 401)


async def test_a_token_ends_when_it_expires(api: Api) -> None:
    ends = api.clock.now() + timedelta(hours=1)
    made = (await api.add("tokens", name="short", expires_at=ends.isoformat())).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    api.clock.advance(timedelta(minutes=59))
    assert (await api.nobody.get(f"{V1}/domains", headers=headers)).status_code == 200
    api.clock.advance(timedelta(minutes=1))
    assert_problem(await api.nobody.get(f"{V1}/domains", headers=headers), 401)


async def test_a_token_cannot_be_made_in_the_past_or_under_an_odd_name(api: Api) -> None:
    past = {"name": "late", "expires_at": "2025-01-01T00:00:00Z"}
    assert_problem(await api.admin.post(f"{V1}/tokens", json=past), 422)
    odd = await api.admin.post(f"{V1}/tokens", json={"name": "session admin 1"})
    assert_problem(odd, 422)
    assert "accepted are 1 to 64 of a-z, 0-9" in odd.json()["detail"]
    assert_problem(await api.admin.post(f"{V1}/tokens", json={"name": "x", "scope": "root"}), 422)


async def test_the_use_of_a_token_is_noted_to_the_minute(api: Api) -> None:
    await api.reader.get(f"{V1}/domains")
    first = (await api.reader.get(f"{V1}/tokens/tests-read")).json()["last_used_at"]
    api.clock.advance(timedelta(seconds=59))
    assert (await api.reader.get(f"{V1}/tokens/tests-read")).json()["last_used_at"] == first
    api.clock.advance(timedelta(seconds=1))
    assert (await api.reader.get(f"{V1}/tokens/tests-read")).json()["last_used_at"] != first


async def test_a_one_time_password_is_good_for_setting_another_only(api: Api) -> None:
    answer = await api.nobody.post(f"{V1}/session", headers=basic(ONE_TIME_PASSWORD))
    assert_problem(answer, 403)
    assert answer.json()["type"].endswith("password-change-required")
    path = f"{V1}/operators/admin/password"
    same = await api.nobody.put(path, headers=basic(ONE_TIME_PASSWORD), json={"password": ONE_TIME_PASSWORD})
    assert_problem(same, 422)
    short = await api.nobody.put(path, headers=basic(ONE_TIME_PASSWORD), json={"password": "short"})
    assert_problem(short, 422)
    changed = await api.nobody.put(path, headers=basic(ONE_TIME_PASSWORD), json={"password": "correct horse"})
    assert changed.status_code == 204
    assert_problem(await api.nobody.post(f"{V1}/session", headers=basic(ONE_TIME_PASSWORD)), 401)
    assert (await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))).status_code == 201


async def test_a_session_acts_as_its_operator_and_ends(api: Api) -> None:
    await api.admin.put(f"{V1}/operators/admin/password", json={"password": "correct horse"})
    session = (await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))).json()
    headers = {"Authorization": f"Bearer {session['token']}"}
    assert (await api.nobody.get(f"{V1}/session", headers=headers)).json() == {
        "actor": "operator admin",
        "scope": "admin",
    }
    await api.nobody.post(f"{V1}/domains", json={"name": "a.test"}, headers=headers)
    assert (await api.audited())[-1]["actor"] == "operator admin"
    api.clock.advance(timedelta(hours=12))
    assert_problem(await api.nobody.get(f"{V1}/session", headers=headers), 401)


async def test_a_session_ends_itself(api: Api) -> None:
    await api.admin.put(f"{V1}/operators/admin/password", json={"password": "correct horse"})
    session = (await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))).json()
    headers = {"Authorization": f"Bearer {session['token']}"}
    listed = (await api.nobody.get(f"{V1}/tokens", headers=headers)).json()["items"]
    (name,) = [item["name"] for item in listed if item["name"].startswith("session ")]
    assert (await api.nobody.delete(f"{V1}/tokens/{name}", headers=headers)).status_code == 204
    assert_problem(await api.nobody.get(f"{V1}/session", headers=headers), 401)


async def test_a_new_password_ends_the_sessions(api: Api) -> None:
    path = f"{V1}/operators/admin/password"
    await api.admin.put(path, json={"password": "correct horse"})
    session = (await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))).json()
    headers = {"Authorization": f"Bearer {session['token']}"}
    assert (await api.nobody.put(path, headers=headers, json={"password": "battery staple"})).status_code == 204
    assert_problem(await api.nobody.get(f"{V1}/session", headers=headers), 401)


def meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Awaitable[httpx.Response]]) -> None:
    """Have the change made by someone else just after the next password has been verified."""
    verify = api.parts.passwords.verify

    async def verify_then_change(password: str, password_hash: str | None) -> bool:
        monkeypatch.setattr(api.parts.passwords, "verify", verify)
        matches = await verify(password, password_hash)
        assert (await change()).is_success
        return matches

    monkeypatch.setattr(api.parts.passwords, "verify", verify_then_change)


async def test_a_password_that_is_replaced_while_it_is_verified_begins_no_session(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{V1}/operators/admin/password"
    await api.admin.put(path, json={"password": "correct horse"})
    meanwhile(api, monkeypatch, lambda: api.admin.put(path, json={"password": "battery staple"}))
    refused = await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))
    assert_problem(refused, 401)
    assert refused.headers["www-authenticate"].startswith("Basic")
    async with api.parts.database.reading() as session:
        names = list(await session.scalars(select(ApiToken.name)))
    assert not [name for name in names if name.startswith("session ")]


async def test_a_password_that_is_replaced_while_it_is_verified_sets_no_other(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{V1}/operators/admin/password"
    await api.admin.put(path, json={"password": "correct horse"})
    meanwhile(api, monkeypatch, lambda: api.admin.put(path, json={"password": "battery staple"}))
    assert_problem(await api.nobody.put(path, headers=basic("correct horse"), json={"password": "tr0ub4dor"}), 401)
    meanwhile(api, monkeypatch, lambda: api.admin.put(path, json={"password": "correct horse"}))
    assert_problem(await api.admin.put(path, json={"password": "tr0ub4dor"}), 409)
    assert (await api.nobody.post(f"{V1}/session", headers=basic("correct horse"))).status_code == 201


async def test_a_token_that_is_revoked_while_its_request_is_served_changes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.add("domains", name="local.test")
    token = (await api.add("tokens", name="leaked", scope="admin")).json()["token"]
    hash_password = api.parts.passwords.hash

    async def hash_then_revoke(password: str) -> str:
        assert (await api.admin.delete(f"{V1}/tokens/leaked")).is_success
        return await hash_password(password)

    monkeypatch.setattr(api.parts.passwords, "hash", hash_then_revoke)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"address": "user@local.test", "password": "correct horse"}
    assert_problem(await api.nobody.post(f"{V1}/mailboxes", json=body, headers=headers), 401)
    assert (await api.reader.get(f"{V1}/mailboxes/user@local.test")).status_code == 404


async def test_a_password_is_no_way_to_anything_else(api: Api) -> None:
    await api.admin.put(f"{V1}/operators/admin/password", json={"password": "correct horse"})
    assert_problem(await api.nobody.get(f"{V1}/domains", headers=basic("correct horse")), 401)
    other = await api.nobody.put(
        f"{V1}/operators/other/password", headers=basic("correct horse"), json={"password": "battery staple"}
    )
    assert_problem(other, 403)
    assert_problem(await api.admin.post(f"{V1}/session"), 403)


async def test_failed_logins_make_the_next_one_wait(api: Api) -> None:
    for _ in range(5):
        assert_problem(await api.nobody.post(f"{V1}/session", headers=basic("wrong")), 401)
    throttled = await api.nobody.post(f"{V1}/session", headers=basic(ONE_TIME_PASSWORD))
    assert_problem(throttled, 429)
    assert throttled.headers["retry-after"] == "1"
    api.clock.advance(timedelta(seconds=1))
    assert_problem(await api.nobody.post(f"{V1}/session", headers=basic(ONE_TIME_PASSWORD)), 403)


async def test_logins_that_fail_elsewhere_keep_no_operator_out(api: Api) -> None:
    application = build_application(api.parts)

    async def log_in(address: str, password: str) -> int:
        transport = httpx.ASGITransport(application, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://admin.example") as client:
            return (await client.post(f"{V1}/session", headers=basic(password))).status_code

    await api.admin.put(f"{V1}/operators/admin/password", json={"password": "correct horse"})
    assert [await log_in(f"192.0.2.{host}", "wrong") for host in range(6)] == [401] * 5 + [429]
    for network in range(10):
        assert await log_in(f"198.51.{network}.1", "wrong") == 401
    assert await log_in("203.0.113.1", "correct horse") == 201


async def test_an_operators_new_password_ends_the_sessions_of_no_other(api: Api) -> None:
    """Neither of one whose name a pattern would match, nor of one whose name begins alike."""
    others = ["axb", "A_B", "a_b c"]
    async with api.parts.database.writing() as session:
        hashed = await api.parts.passwords.hash("correct horse")
        for name in ("a_b", *others):
            session.add(Operator(name=name, password_hash=hashed, created_at=api.clock.now()))
    tokens = {}
    for name in ("a_b", *others):
        begun = await api.nobody.post(f"{V1}/session", headers=basic("correct horse", name))
        tokens[name] = {"Authorization": f"Bearer {begun.json()['token']}"}
    assert (await api.admin.put(f"{V1}/operators/a_b/password", json={"password": "battery staple"})).is_success
    assert_problem(await api.nobody.get(f"{V1}/session", headers=tokens["a_b"]), 401)
    for name in others:
        answer = await api.nobody.get(f"{V1}/session", headers=tokens[name])
        assert answer.json()["actor"] == f"operator {name}"


async def test_an_unknown_operator_looks_like_a_wrong_password(api: Api) -> None:
    wrong = await api.nobody.post(f"{V1}/session", headers=basic("wrong"))
    unknown = await api.nobody.post(f"{V1}/session", headers=basic("wrong", "nobody"))
    assert wrong.json() == unknown.json()


@pytest.mark.parametrize("credentials", ["Basic", "Basic !!!", "Basic YWRtaW4=", "Basic /w==", "Basic " + "QUFB" * 900])
async def test_credentials_that_cannot_be_read_are_refused(api: Api, credentials: str) -> None:
    assert_problem(await api.nobody.post(f"{V1}/session", headers={"Authorization": credentials}), 401)


async def test_no_secret_is_in_any_answer_or_in_the_audit(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test", password="correct horse")
    await api.admin.put(f"{V1}/operators/admin/password", json={"password": "battery staple"})
    refused = await api.admin.post(
        f"{V1}/mailboxes", json={"address": "bad", "password": "tr0ub4dor", "colour": "tr0ub4dor"}
    )
    texts = [refused.text, json.dumps(await api.audited())]
    for method, path in operations():
        if method == "GET":
            texts.append((await api.admin.get(path)).text)
    texts.append((await api.admin.get(f"{V1}/mailboxes/user@local.test")).text)
    async with api.parts.database.reading() as session:
        operator = await session.scalar(select(Operator))
    for secret in ("correct horse", "battery staple", "tr0ub4dor", "argon2id", operator.password_hash):
        assert all(secret not in text for text in texts)
