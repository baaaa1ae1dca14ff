"""The ASGI application: routes, error answers, and the middleware around them."""

import json
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from tripost_admin_api.api import (
    access_explain,
    access_rules,
    aliases,
    app_passwords,
    audit,
    author_check,
    ban_policy,
    bans,
    control_rules,
    domains,
    grants,
    limits,
    listeners,
    mailboxes,
    messages,
    policy,
    queue,
    rate_usage,
    rates,
    relay_networks,
    routes,
    session,
    status,
    tokens,
    xclient_networks,
)
from tripost_admin_api.api.bodies import read_body
from tripost_admin_api.api.guard import Guard
from tripost_admin_api.api.hardening import BodyLimit, Failures, SecurityFields, problem_of
from tripost_admin_api.api.head import Head, allowed
from tripost_admin_api.api.models import ProblemBody
from tripost_admin_api.api.parameters import refuse_unknown_parameters
from tripost_admin_api.api.parts import Parts
from tripost_admin_api.api.problems import MEDIA_TYPE, Problem, of_status
from tripost_admin_api.api.wording import problem_of_errors
from tripost_shared.database.transactions import DatabaseUnavailable

PREFIX: Final = "/api/v1"
NOUNS: Final = (
    domains,
    grants,  # before mailboxes, whose paths are beginnings of its own
    app_passwords,
    mailboxes,
    aliases,
    routes,
    queue,
    messages,
    policy,
    relay_networks,
    control_rules,
    rate_usage,  # before rates, whose paths are any name's
    rates,
    xclient_networks,
    author_check,
    access_rules,
    access_explain,
    listeners,
    limits,
    ban_policy,  # before bans, whose paths are any network's
    bans,
    tokens,
    session,
    audit,
    status,
)
DESCRIPTION: Final = """\
Administration of a Tripost cluster. Errors are problem details (RFC 9457, `application/problem+json`). Lists come in
parts: give `next_cursor` as `cursor` for the next one. All times are UTC.
"""
PROBLEM: Final[dict[str, Any]] = {
    "description": "Problem details (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
}


def build_application(parts: Parts) -> ASGIApp:
    """Join routes and middleware; what comes first here is outermost."""
    api = build_api()
    api.state.parts = parts
    return Head(SecurityFields(Failures(Guard(BodyLimit(api), parts.authenticator))))


def build_api() -> FastAPI:
    """Make the routes alone; enough for the OpenAPI document."""
    api = FastAPI(
        title="Tripost",
        version="1",
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    v1 = APIRouter(prefix=PREFIX, dependencies=[Depends(refuse_unknown_parameters), Depends(read_body)])
    for noun in NOUNS:
        v1.include_router(noun.router)
    v1.add_api_route("/openapi.json", _openapi, methods=["GET"], include_in_schema=False)
    api.include_router(v1)
    api.add_api_route("/healthz", _healthz, methods=["GET"], include_in_schema=False)
    for expected in (Problem, DatabaseUnavailable, Exception):
        api.add_exception_handler(expected, _answer_failure)
    api.add_exception_handler(HTTPException, _answer_http_error)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    api.openapi = lambda: _document(api)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return api


async def _openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


async def _healthz(request: Request) -> Response:
    """Answer 200 once the first start is done, whatever may be away later."""
    parts: Parts = request.app.state.parts
    if not parts.started.is_set():
        return JSONResponse({"status": "starting"}, 503)
    return JSONResponse({"status": "ok"})


async def _answer_failure(request: Request, error: Exception) -> Response:
    return problem_of(error, request.method, request.url.path).response()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (what the handler is registered for)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}."
    elif error.status_code == 405:
        detail = f"{request.method} is not for {request.url.path}."
        return of_status(405, detail, {"Allow": allowed(_methods_at(request))}).response()
    return of_status(error.status_code, detail, error.headers).response()


def _methods_at(request: Request) -> set[str]:
    """Give all methods of a path (RFC 9110 §10.2.1): Starlette names those of the first route there alone."""
    routes = iter_route_contexts(request.app.routes)
    there = (route for route in routes if route.path_regex.match(request.url.path))
    return {method for route in there for method in route.methods or ()}


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (what the handler is registered for)
    details = error.errors()
    if any(item["type"] == "json_invalid" for item in details):
        return Problem("malformed-request", "The body is no JSON.").response()
    return problem_of_errors(details).response()


def _document(api: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI document with the ways to authenticate and the form of errors."""
    if api.openapi_schema is None:
        document = FastAPI.openapi(api)
        components = document["components"]
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "Made by POST /tokens or POST /session."},
            "password": {"type": "http", "scheme": "basic", "description": "An operator's password."},
        }
        components["schemas"]["ProblemBody"] = ProblemBody.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(path, method, operation)
        document["security"] = [{"token": []}]
    return api.openapi_schema or {}


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = PROBLEM
    operation["operationId"] = operation["operationId"].partition("_api_v1")[0]
    if path == f"{PREFIX}/session" and method == "post":
        operation["security"] = [{"password": []}]
    elif path.startswith(f"{PREFIX}/operators/"):
        operation["security"] = [{"password": []}, {"token": []}]


def document_text() -> str:
    """Give the OpenAPI document as it is kept in `docs/openapi.json`."""
    return json.dumps(build_api().openapi(), indent=2, ensure_ascii=False) + "\n"
