"""A list of messages in which nothing is says how far back was looked."""

from typing import Any

import pytest

from admin_service import invoke
from tripost_admin_api.api.message_search import RECENT
from tripost_admin_api.cli.listing import Listing

FURTHER = f"No such messages in the last {RECENT.days} days (further back: --since).\n"
NOTHING = "No such messages.\n"


class Nobody:
    """The API's client, that knows of no message."""

    def all(self, where: str, **query: Any) -> Listing:
        return Listing(lambda _where, **_query: {"items": [], "next_cursor": None}, where, **query)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--status", "held"], FURTHER, id="what no index leads to"),
        pytest.param(["--client", "192.0.2.7", "--recipient", "@dest.example"], FURTHER, id="a domain beside it"),
        pytest.param(["--sender", "<>", "--recipient", "@dest.example"], FURTHER, id="the null path and a domain"),
        pytest.param(["--status", "held", "--since", "2026-01-01"], NOTHING, id="a time"),
        pytest.param(["--status", "held", "--recipient", "ann@dest.example"], NOTHING, id="a whole address"),
        pytest.param(["--status", "held", "--login", "ann"], NOTHING, id="a login"),
        pytest.param(["--recipient", "@dest.example"], NOTHING, id="a domain alone"),
        pytest.param([], NOTHING, id="all"),
    ],
)
def test_nothing_found_says_how_far_back_was_looked(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    """As the API does: its own rule is tested with it."""
    monkeypatch.setattr("tripost_admin_api.cli.messages.connect", lambda _context: Nobody())
    assert invoke("message", "list", *arguments).stderr == told
