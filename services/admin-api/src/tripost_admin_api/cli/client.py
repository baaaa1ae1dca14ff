"""The REST client behind every command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.home import Place, find, read_token, tls_context
from tripost_admin_api.cli.listing import Listing

if TYPE_CHECKING:
    import httpx
    import typer

PREFIX = "/api/v1/"
WITHIN_SECONDS = 20.0
SHOWN_CHARACTERS = 200  # of what another server says, such as a proxy

EXIT_CODES = {
    400: ExitCode.USAGE,
    401: ExitCode.NOT_AUTHORISED,
    403: ExitCode.NOT_AUTHORISED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    413: ExitCode.USAGE,
    422: ExitCode.USAGE,
    429: ExitCode.NOT_AUTHORISED,
    503: ExitCode.UNREACHABLE,
}


@dataclass(frozen=True)
class Options:
    """What stands before the command on the command line."""

    url: str = ""
    token_file: str = ""


def connect(context: typer.Context) -> Client:
    """Make the client for a command; raises CommandFailed."""
    options = context.find_object(Options) or Options()
    return Client(find(os.environ, options.url, options.token_file))


def path(*parts: str) -> str:
    """Join parts of a path, each encoded as a whole."""
    return "/".join(quote(part, safe="@*") for part in parts)


class Client:
    """Raises CommandFailed with the server's own words for everything that goes wrong."""

    def __init__(self, place: Place) -> None:
        import httpx  # noqa: PLC0415 (slow to import, and not needed for --help)

        self.place = place
        token = read_token(place)
        self._http = httpx.Client(
            base_url=place.url,
            verify=tls_context(place),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=WITHIN_SECONDS,
            trust_env=False,  # the token goes to the cluster, not to a proxy
        )

    def get(self, where: str, **query: Any) -> Any:
        """Read one thing."""
        return self.read(self.ask("GET", where, query=query))

    def find(self, where: str) -> Any | None:
        """Read one thing; None when there is none."""
        try:
            return self.get(where)
        except CommandFailed as failure:
            if failure.code is ExitCode.NOT_FOUND:
                return None
            raise

    def all(self, where: str, most: int | None = None, **query: Any) -> Listing:
        """Give a list, `most` items at most, which is read as it is gone through."""
        return Listing(self.get, where, most, **query)

    def post(self, where: str, body: Any = None, **query: Any) -> Any:
        """Add something, or do something with it."""
        return self.read(self.ask("POST", where, body, query))

    def put(self, where: str, body: Any) -> Any:
        """Replace something."""
        answer = self.ask("PUT", where, body)
        return self.read(answer) if answer.content else None

    def patch(self, where: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        """Change a part of something."""
        return self.read(self.ask("PATCH", where, body, headers=headers))

    def delete(self, where: str, **query: Any) -> None:
        """Remove something."""
        self.ask("DELETE", where, query=query)

    def ask(
        self,
        method: str,
        where: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request and give its good answer; raises CommandFailed."""
        import httpx  # noqa: PLC0415 (imported by __init__ already)

        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._http.request(method, PREFIX + where, json=body, params=wanted, headers=headers)
        except httpx.HTTPError as error:
            raise CommandFailed(self._unreachable(error), ExitCode.UNREACHABLE) from None
        if not answer.is_success:
            raise CommandFailed(self._explained(answer), EXIT_CODES.get(answer.status_code, ExitCode.FAILED))
        return answer

    def read(self, answer: httpx.Response) -> Any:
        """Decode a good answer; raises CommandFailed when another server has given it."""
        try:
            return answer.json()
        except ValueError:
            raise CommandFailed(self._of_another_server(answer)) from None

    def _of_another_server(self, answer: httpx.Response) -> str:
        said = f"{self.place.url} answered {answer.status_code} {answer.reason_phrase}, but not as Tripost does."
        is_text = answer.headers.get("content-type", "").startswith("text/plain")
        words = answer.text.strip().partition("\n")[0][:SHOWN_CHARACTERS] if is_text else ""
        return f"{said} It says: {words}" if words else said

    def _unreachable(self, error: httpx.HTTPError) -> str:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return (
                f"The certificate at {self.place.url} is not trusted by {self.place.ca or 'the system'}: {text}. "
                "Set TRIPOST_HOME to the cluster's folder, or TRIPOST_API_CA to the certificate."
            )
        return (
            f"No answer from {self.place.url}: {text.rstrip('.') or type(error).__name__}. What was asked for may have "
            "been done all the same. Is the cluster running (make run)? --url and TRIPOST_API_URL name another address."
        )

    def _explained(self, answer: httpx.Response) -> str:
        try:
            problem = answer.json()
            detail = str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            return self._of_another_server(answer)
        further = problem.get("errors", [])[1:]
        more = [f"; {error['field'].partition('.')[2]}: {error['message']}" for error in further]
        advice = ""
        if answer.status_code == 401:
            another = ", where admin-api leaves another when it is restarted" if self.place.is_token_made_for_us else ""
            advice = f" The token came from {self.place.token_file}{another}."
        return detail + advice + "".join(more)
