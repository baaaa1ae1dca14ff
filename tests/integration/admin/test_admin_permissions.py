"""Who may do what: a table of every route the application has, with every kind of credentials.

The rows are the application's own routes, so a new one is in the table as soon as it is there, and closed to strangers
unless it is named here.
"""

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from admin_api import ADMIN_TOKEN, EXPIRED_TOKEN, ONE_TIME_PASSWORD, READ_TOKEN, Api
from tripost_admin_api.api.application import build_api

V1 = "/api/v1"
PASSWORD = "correct horse"
PUBLIC_PATH = "/healthz"
BEGIN_SESSION = ("POST", f"{V1}/session")
OWN_PASSWORD = ("PUT", f"{V1}/operators/admin/password")
OTHERS_PASSWORD = ("PUT", f"{V1}/operators/other/password")
NO_ROUTE = ("DELETE", f"{V1}/nothing/here")
LOOKING = {"GET", "HEAD", "OPTIONS"}

Call = tuple[str, str]


class Answer(StrEnum):
    """What becomes of a request before its route is called."""

    LET_IN = "let in"
    UNKNOWN = "401"
    FORBIDDEN = "403"


class Who(StrEnum):
    """With what a client comes."""

    NOBODY = "nothing"
    WRONG_TOKEN = "a token that is none"
    LONG_TOKEN = "a token that is far too long"
    OTHER_SCHEME = "a scheme that is not spoken"
    EXPIRED_TOKEN = "an expired token"
    TOKEN_IN_COOKIE = "a good token in a cookie"
    TOKEN_IN_QUERY = "a good token in the query"
    READ_TOKEN = "a token with the scope read"
    ADMIN_TOKEN = "a token with the scope admin"
    SESSION = "a session"
    ENDED_SESSION = "a session that has ended"
    PASSWORD = "an operator's password"
    ONE_TIME_PASSWORD = "an operator's one-time password"


STRANGERS = {
    Who.NOBODY,
    Who.WRONG_TOKEN,
    Who.LONG_TOKEN,
    Who.OTHER_SCHEME,
    Who.EXPIRED_TOKEN,
    Who.TOKEN_IN_COOKIE,
    Who.TOKEN_IN_QUERY,
    Who.ENDED_SESSION,
}


def expected(who: Who, call: Call) -> Answer:
    """What the documentation promises (docs/reference/api.md)."""
    if call[1] == PUBLIC_PATH:
        return Answer.LET_IN
    if who in STRANGERS:
        return Answer.UNKNOWN
    if who in {Who.PASSWORD, Who.ONE_TIME_PASSWORD}:
        return expected_by_password(who, call)
    if who is Who.READ_TOKEN:
        return Answer.LET_IN if call[0] in LOOKING else Answer.FORBIDDEN
    return Answer.FORBIDDEN if call == BEGIN_SESSION else Answer.LET_IN


def expected_by_password(who: Who, call: Call) -> Answer:
    if call == OWN_PASSWORD:
        return Answer.LET_IN
    if call == BEGIN_SESSION:
        return Answer.LET_IN if who is Who.PASSWORD else Answer.FORBIDDEN
    return Answer.FORBIDDEN if call == OTHERS_PASSWORD else Answer.UNKNOWN


def calls() -> Iterator[Call]:
    for route in iter_route_contexts(build_api().routes):
        assert isinstance(route.original_route, APIRoute), f"{route} is no route that this table understands"
        path = re.sub(r"\{\w+(:path)?\}", "admin", route.path)
        for method in {*route.methods, *({"HEAD", "OPTIONS"} if "GET" in route.methods else ())}:
            yield method, path
    yield from (OTHERS_PASSWORD, NO_ROUTE)


async def credentials(api: Api, who: Who) -> dict[str, dict[str, str]]:
    """Give what httpx is to send, after making it so that these credentials are what they are."""
    bearer = {
        Who.WRONG_TOKEN: "tripost_wrong",
        Who.LONG_TOKEN: "x" * 10_000,
        Who.EXPIRED_TOKEN: EXPIRED_TOKEN,
        Who.READ_TOKEN: READ_TOKEN,
        Who.ADMIN_TOKEN: ADMIN_TOKEN,
    }
    if who in bearer:
        return {"headers": {"Authorization": f"Bearer {bearer[who]}"}}
    if who is Who.OTHER_SCHEME:
        return {"headers": {"Authorization": f"Digest username=admin, response={ADMIN_TOKEN}"}}
    if who is Who.TOKEN_IN_COOKIE:
        return {"headers": {"Cookie": f"session={ADMIN_TOKEN}; token={ADMIN_TOKEN}; Authorization={ADMIN_TOKEN}"}}
    if who is Who.TOKEN_IN_QUERY:
        return {"params": {"access_token": ADMIN_TOKEN}}  # RFC 6750 §2.3, which is not taken
    if who is Who.ONE_TIME_PASSWORD:
        return {"headers": {"Authorization": basic(ONE_TIME_PASSWORD)}}
    if who is Who.NOBODY:
        return {}
    assert (await api.admin.put(OWN_PASSWORD[1], json={"password": PASSWORD})).is_success
    password = {"Authorization": basic(PASSWORD)}
    if who is Who.PASSWORD:
        return {"headers": password}
    begun = await api.nobody.post(BEGIN_SESSION[1], headers=password)
    if who is Who.ENDED_SESSION:
        api.clock.advance(timedelta(hours=12))
    return {"headers": {"Authorization": f"Bearer {begun.json()['token']}"}}


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


@pytest.mark.parametrize("who", Who)
async def test_every_route_answers_as_the_table_says(api: Api, who: Who) -> None:
    sent = await credentials(api, who)
    before = await api.audited()
    answers: dict[Call, Answer | str] = {}
    for method, path in calls():
        answer = await api.nobody.request(method, path, json={}, **sent)
        assert answer.status_code < 500, (method, path)
        refused = {401: Answer.UNKNOWN, 403: Answer.FORBIDDEN}.get(answer.status_code)
        if refused is not None and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]
        if refused is Answer.UNKNOWN:
            assert answer.headers["www-authenticate"].startswith(("Bearer", "Basic"))
        answers[method, path] = refused or Answer.LET_IN
    assert answers == {call: expected(who, call) for call in answers}
    if who in STRANGERS | {Who.READ_TOKEN}:
        assert await api.audited() == before


def test_the_table_has_every_route() -> None:
    table = set(calls())
    documented = {
        (method.upper(), re.sub(r"\{\w+\}", "admin", path))
        for path, methods in build_api().openapi()["paths"].items()
        for method in methods
    }
    hidden = {("GET", PUBLIC_PATH), ("GET", f"{V1}/openapi.json")}
    assert documented | hidden | {BEGIN_SESSION, OWN_PASSWORD} <= table
    assert len(documented) > 40
