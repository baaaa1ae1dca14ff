"""Every error is problem details, and none tells what is inside."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from admin_api import Api
from tripost_admin_api.api import paging
from tripost_admin_api.api.application import build_api
from tripost_admin_api.api.hardening import LARGEST_BODY_OCTETS
from tripost_admin_api.api.problems import KINDS, TYPE_PREFIX
from tripost_shared.database.transactions import DatabaseUnavailable

V1 = "/api/v1"


def cursor(first_at: str) -> str:
    return paging.encode([first_at, "1k3v9q2m8f0abcde.1"])


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
        pytest.param(
            "PATCH", "/api/v1/policy", b"[" * 100_000, 400, "malformed-request", id="a patch nested without end"
        ),
        pytest.param("PATCH", "/api/v1/policy", b"[]", 400, "malformed-request", id="a patch that is a list"),
        pytest.param("PATCH", "/api/v1/policy", b"{", 400, "malformed-request", id="a patch that is no JSON"),
        pytest.param("GET", "/api/v1/domains?limit=0", None, 422, "invalid", id="limit too small"),
        pytest.param("GET", "/api/v1/domains?limit=1001", None, 422, "invalid", id="limit too large"),
        pytest.param("GET", "/api/v1/domains?colour=red", None, 422, "invalid", id="a parameter that is none"),
        pytest.param("GET", "/api/v1/domains?cursor=!!", None, 422, "invalid", id="no cursor"),
        pytest.param("GET", "/api/v1/domains?cursor=WyJcdTAwMDAiXQ", None, 422, "invalid", id="NUL in a cursor"),
        pytest.param("GET", "/api/v1/mailboxes?cursor=WyJhIl0", None, 422, "invalid", id="another list's cursor"),
        pytest.param(
            "GET", f"/api/v1/messages?cursor={cursor('2026-01-01T00:00:00')}", None, 422, "invalid", id="no zone"
        ),
        pytest.param(
            "GET",
            f"/api/v1/messages?cursor={cursor('9999-12-31T23:59:59-14:00')}",
            None,
            422,
            "invalid",
            id="past 9999",
        ),
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


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", f"{V1}/policy", "GET, HEAD, PATCH, PUT"),
        ("PUT", f"{V1}/domains", "GET, HEAD, POST"),
        ("POST", f"{V1}/mailboxes/a@local.test", "DELETE, GET, HEAD, PATCH"),
        ("PUT", f"{V1}/mailboxes/a@local.test/grants", "GET, HEAD, POST"),
        ("POST", f"{V1}/mailboxes/a@local.test/grants/@x.test", "DELETE, GET, HEAD"),
        ("HEAD", f"{V1}/queue/messages/1k3v9q2m8f0abcde.1/retry", "POST"),
        ("GET", f"{V1}/operators/admin/password", "PUT"),
        ("POST", f"{V1}/status", "GET, HEAD"),
        ("POST", f"{V1}/openapi.json", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_for_a_path_is_answered_with_all_that_are(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = await api.admin.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_head_is_answered_as_get_but_for_the_body_wherever_there_is_get(api: Api) -> None:
    await api.add("domains", name="local.test")
    paths = [path for path, operations in build_api().openapi()["paths"].items() if "get" in operations]
    assert len(paths) > 20
    for path in (*paths, f"{V1}/openapi.json", "/healthz", f"{V1}/nothing", f"{V1}/domains?colour=red"):
        asked = path.format_map(defaultdict(lambda: "local.test"))
        got, head = await api.reader.get(asked), await api.reader.head(asked)
        assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b""), path
        assert head.headers["content-length"] == str(len(got.content))
    stranger = await api.nobody.head(f"{V1}/domains")
    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, 'Bearer realm="tripost"')


@pytest.mark.parametrize(
    ("media_type", "body", "status", "told"),
    [
        pytest.param("application/x-www-form-urlencoded", b'{"name": "x.test"}', 415, "Send JSON", id="curl's own"),
        pytest.param("", b'{"name": "x.test"}', 415, "Send JSON", id="none"),
        pytest.param("application/json", b"[]", 422, "accepted is a JSON object", id="a list"),
        pytest.param("application/json; charset=utf-8", b'{"name": "x.test"}', 201, "x.test", id="JSON"),
    ],
)
async def test_a_body_is_json_and_says_so(api: Api, media_type: str, body: bytes, status: int, told: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await api.admin.post(f"{V1}/domains", content=body, headers=headers)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    ("media_type", "status"),
    [("text/plain", 415), ("", 415), ("application/json", 200), ("application/merge-patch+json", 200)],
)
async def test_a_merge_patch_says_that_it_is_json_too(api: Api, media_type: str, status: int) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await api.admin.patch(f"{V1}/policy", content=b'{"tag_score": 5}', headers=headers)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        pytest.param("POST", "domains", '{"name": "x.test", "name": "y.test"}', "name", id="a domain"),
        pytest.param("PATCH", "policy", '{"tag_score": 5, "tag_score": 4.5}', "tag_score", id="a merge patch"),
        pytest.param("PUT", "policy", '{"greylist": {"enabled": true, "enabled": false}}', "enabled", id="within"),
    ],
)
async def test_a_field_that_is_given_twice_is_refused(api: Api, method: str, path: str, body: str, name: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.admin.request(method, f"{V1}/{path}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"'{name}' is given 2 times; accepted is one")
    assert await api.audited() == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("foo=1", "accepted: limit, cursor, id, sender, recipient, status", id="a parameter that is none"),
        pytest.param("limit=1&limit=2", "limit: is given 2 times", id="a parameter given twice"),
        pytest.param("limit=nan", "accepted is a whole number", id="no number"),
        pytest.param(f"limit={'9' * 5000}", "accepted is a whole number", id="a number without end"),
        pytest.param("client=bogus", "accepted is one like 192.0.2.7", id="no IP address"),
        pytest.param("sender=bogus", "accepted is an address, or @domain", id="no sender"),
        pytest.param("recipient=bogus", "accepted is an address, or @domain", id="no recipient"),
        pytest.param("id=bogus", "accepted is one like 1k3v9q2m8f0abcde.1", id="no id"),
        pytest.param("status=lost", "'delivered'", id="no status"),
        pytest.param("direction=up", "'inbound', 'outbound' or 'bounce'", id="no direction"),
        pytest.param("since=nonsense", "accepted is a date or a time like 2026-01-31", id="no time"),
        pytest.param("since=2026", "accepted is a date or a time like 2026-01-31", id="a bare number"),
        pytest.param("since=0001-01-01T00:00:00%2B14:00", "accepted is a date or a time", id="before the year 1"),
        pytest.param("until=9999-12-31T23:59:59-14:00", "accepted is a date or a time", id="after the year 9999"),
    ],
)
async def test_a_filter_that_can_match_nothing_is_refused_with_what_is_accepted(
    api: Api, query: str, told: str
) -> None:
    """It would look like an empty list; one that is not known would find everything."""
    answer = await api.reader.get(f"{V1}/messages?{query}")
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"].startswith("query")


async def test_no_operation_takes_a_parameter_that_it_does_not_have(api: Api) -> None:
    paths = build_api().openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            answer = await api.admin.request(method.upper(), f"{path.replace('{', '').replace('}', '')}?colour=red")
            if (method, path) == ("post", f"{V1}/session"):  # takes a password only, and is judged before
                continue
            assert (method, path, answer.status_code) == (method, path, 422)
            assert "there is no parameter 'colour'" in answer.json()["detail"], (method, path)
    assert await api.audited() == []


def test_every_operation_has_a_name_of_its_own() -> None:
    """Clients are generated from these names, and the accepted parameters are found by them."""
    operations = [operation for path in build_api().openapi()["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert sorted(names) == sorted(set(names))


async def test_a_field_that_is_none_is_named_with_those_that_are(api: Api) -> None:
    answer = await api.admin.post(f"{V1}/domains", json={"nam": "local.test"})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "there is no field 'nam' here; accepted: name, mechanisms",
    )


def test_every_request_body_takes_its_own_fields_only() -> None:
    document = build_api().openapi()
    for path in document["paths"].values():
        for operation in path.values():
            text = json.dumps(operation.get("requestBody", {}))
            for name in re.findall(r"#/components/schemas/(\w+)", text):
                assert document["components"]["schemas"][name]["additionalProperties"] is False, name


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
