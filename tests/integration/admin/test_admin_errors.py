"""Every error is problem details, and none tells what is inside."""

import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from admin_api import Api
from tripost_admin_api.api.hardening import LARGEST_BODY_OCTETS
from tripost_admin_api.api.problems import KINDS, TYPE_PREFIX
from tripost_shared.database.transactions import DatabaseUnavailable

V1 = "/api/v1"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        pytest.param("GET", "/api/v1/nothing", None, 404, "not-found", id="no such path"),
        pytest.param("GET", "/", None, 404, "not-found", id="the root"),
        pytest.param("GET", "/docs", None, 404, "not-found", id="no documentation pages"),
        pytest.param("GET", "/openapi.json", None, 404, "not-found", id="no public OpenAPI"),
        pytest.param("GET", "/api/v1/domains/", None, 404, "not-found", id="a slash too many"),
        pytest.param("GET", "/api/v1/domains/no.test", None, 404, "not-found", id="no such domain"),
        pytest.param("GET", "/api/v1/domains/%00", None, 404, "not-found", id="NUL as a domain"),
        pytest.param("GET", "/api/v1/tokens/%00", None, 404, "not-found", id="NUL as a token's name"),
        pytest.param("GET", "/api/v1/messages/%00", None, 404, "not-found", id="NUL as an id"),
        pytest.param("GET", "/api/v1/queue/messages/x", None, 404, "not-found", id="no id"),
        pytest.param("GET", "/api/v1/mailboxes/x%FF@y", None, 404, "not-found", id="no UTF-8 in the path"),
        pytest.param("PUT", "/api/v1/domains", b"{}", 405, "method-not-allowed", id="a method that is not for it"),
        pytest.param("POST", "/api/v1/domains", b"{", 400, "malformed-request", id="no JSON"),
        pytest.param("POST", "/api/v1/domains", b"\xff\xfe", 400, "malformed-request", id="no text"),
        pytest.param("POST", "/api/v1/domains", b"[]", 422, "invalid", id="a list"),
        pytest.param("POST", "/api/v1/domains", b"", 422, "invalid", id="no body"),
        pytest.param("PATCH", "/api/v1/policy", b"[]", 400, "malformed-request", id="a patch that is a list"),
        pytest.param("PATCH", "/api/v1/policy", b"{", 400, "malformed-request", id="a patch that is no JSON"),
        pytest.param("GET", "/api/v1/domains?limit=0", None, 422, "invalid", id="limit too small"),
        pytest.param("GET", "/api/v1/domains?limit=1001", None, 422, "invalid", id="limit too large"),
        pytest.param("GET", "/api/v1/domains?colour=red", None, 422, "invalid", id="a parameter that is none"),
        pytest.param("GET", "/api/v1/domains?cursor=!!", None, 422, "invalid", id="no cursor"),
        pytest.param("GET", "/api/v1/domains?cursor=WyJcdTAwMDAiXQ", None, 422, "invalid", id="NUL in a cursor"),
        pytest.param("GET", "/api/v1/mailboxes?cursor=WyJhIl0", None, 422, "invalid", id="another list's cursor"),
        pytest.param("GET", "/api/v1/messages?since=yesterday", None, 422, "invalid", id="no time"),
        pytest.param("GET", "/api/v1/messages?recipient=%00", None, 422, "invalid", id="NUL in a search"),
    ],
)
async def test_what_is_wrong_is_told_as_a_problem(
    api: Api, method: str, path: str, body: bytes | None, status: int, kind: str
) -> None:
    answer = await api.admin.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == TYPE_PREFIX + kind
    assert problem["title"] == KINDS[kind][1]
    assert problem["detail"]
    if status == 405:
        assert answer.headers["allow"]
    if status == 422:
        assert problem["errors"][0].keys() == {"field", "message"}


async def test_a_body_that_is_too_large_is_refused_announced_or_not(api: Api) -> None:
    large = json.dumps({"name": "x" * LARGEST_BODY_OCTETS}).encode()

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 50_000):
            yield large[start : start + 50_000]

    for content in (large, in_chunks()):
        answer = await api.admin.post(f"{V1}/domains", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_what_breaks_inside_is_an_incident_and_no_stack_trace(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("tripost_admin_api.api.domains._shown", broken)
    with capture_logs() as logged:
        answer = await api.admin.post(f"{V1}/domains", json={"name": "a.test"})
    assert answer.status_code == 500
    incident = next(entry["incident"] for entry in logged if entry["event"] == "request failed")
    assert incident in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_database_that_is_away_is_told_with_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable("connection refused by 192.0.2.1")

    monkeypatch.setattr("tripost_admin_api.api.domains._shown", away)
    answer = await api.admin.post(f"{V1}/domains", json={"name": "a.test"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["type"].endswith("unavailable")
    assert "192.0.2.1" not in answer.text
    monkeypatch.setattr("tripost_admin_api.configuration.changes.reading", away)
    answer = await api.admin.get(f"{V1}/domains")
    assert answer.status_code == 503


async def test_the_text_of_a_database_error_hides_what_was_written(api: Api) -> None:
    """It goes to the log."""
    statement = text("INSERT INTO operators (nothing) VALUES (:secret)")
    with pytest.raises(Exception, match="nothing") as caught:
        async with api.parts.database.writing() as session:
            await session.execute(statement, {"secret": "correct horse"})
    assert "correct horse" not in str(caught.value)


async def test_every_answer_has_the_security_fields_and_says_nothing_of_its_server(api: Api) -> None:
    for answer in (
        await api.admin.get(f"{V1}/domains"),
        await api.admin.get("/nothing"),
        await api.nobody.get(f"{V1}/domains"),
        await api.nobody.get("/healthz"),
    ):
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


async def test_the_openapi_document_needs_a_token_and_names_the_ways_in(api: Api) -> None:
    document = (await api.reader.get(f"{V1}/openapi.json")).json()
    assert document["security"] == [{"token": []}]
    assert document["paths"][f"{V1}/session"]["post"]["security"] == [{"password": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
