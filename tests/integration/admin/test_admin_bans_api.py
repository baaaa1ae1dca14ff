"""Bans through the API and the command line: made, listed, lifted, refused where they would hit our own."""

from datetime import timedelta

import msgspec
import pytest

from admin_api import Api
from admin_service import RunningAdmin
from tripost_admin_api.api.ban_policy import BansPolicyBody
from tripost_admin_api.configuration.documents import read_edge
from tripost_shared.contracts.bans import Ban, BansPolicy
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig
from tripost_shared.contracts.listeners import LISTENERS_KEY, ListenerConfig, ListenersConfig
from tripost_shared.database.models import ConfigDocument

V1 = "/api/v1/bans"


async def test_a_ban_is_made_shown_listed_and_lifted(api: Api) -> None:
    made = await api.add("bans", network="2001:db8::7", reason="spam to our users", duration_seconds=60)
    until = api.clock.now() + timedelta(seconds=60)
    assert made.headers["location"] == f"{V1}/2001%3Adb8%3A%3A/64"
    ban = Ban("2001:db8::/64", "spam to our users", api.clock.now(), until, "token tests-admin")
    assert await api.cluster.bans() == [ban]
    listed = (await api.reader.get(V1)).json()["items"]
    (shown,) = listed
    assert (shown["network"], shown["by"], shown["offences"]) == ("2001:db8::/64", "token tests-admin", 0)
    assert (await api.reader.get(f"{V1}/2001:db8::/64")).json() == listed[0]
    assert (await api.admin.delete(f"{V1}/2001:db8::/64")).status_code == 204
    assert [kept.holds_at(api.clock.now()) for kept in await api.cluster.bans()] == [False]
    assert (await api.reader.get(V1)).json()["items"] == []
    for answer in (await api.reader.get(f"{V1}/2001:db8::7"), await api.admin.delete(f"{V1}/2001:db8::/64")):
        assert (answer.status_code, answer.json()["detail"]) == (404, "2001:db8::/64 is not banned.")
    assert [entry["action"] for entry in await api.audited()] == ["ban.create", "ban.delete"]


async def test_a_ban_is_replaced_and_ends_by_itself(api: Api) -> None:
    await api.add("bans", network="192.0.2.7", duration_seconds=60)
    await api.add("bans", network="192.0.2.7", duration_seconds=120, reason="more abuse")
    api.clock.advance(timedelta(seconds=119))
    assert [item["reason"] for item in (await api.reader.get(V1)).json()["items"]] == ["more abuse"]
    api.clock.advance(timedelta(seconds=1))
    assert (await api.reader.get(f"{V1}/192.0.2.7")).status_code == 404


async def test_the_list_comes_in_parts(api: Api) -> None:
    for last in range(5):
        await api.add("bans", network=f"192.0.2.{last}")
    first = (await api.reader.get(V1, params={"limit": 3})).json()
    second = (await api.reader.get(V1, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["network"] for item in first["items"] + second["items"]] == [f"192.0.2.{last}" for last in range(5)]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        pytest.param({"network": "127.0.0.1"}, "body.network", "loopback", id="loopback"),
        pytest.param({"network": "::1"}, "body.network", "loopback", id="loopback of IPv6"),
        pytest.param({"network": "127.0.0.0/8"}, "body.network", "loopback", id="all loopback"),
        pytest.param({"network": "198.51.100.7"}, "body.network", "relay network 198.51.100.0/24", id="relay network"),
        pytest.param({"network": "198.51.0.0/16"}, "body.network", "relay network", id="what holds a relay network"),
        pytest.param({"network": "0.0.0.0/0"}, "body.network", "too much of the Internet", id="everyone"),
        pytest.param({"network": "192.0.2.1/24"}, "body.network", "bits set behind its prefix", id="host bits"),
        pytest.param({"network": "here"}, "body.network", "no IP address", id="a name"),
        pytest.param({"network": "192.0.2.7", "duration_seconds": 0}, "body.duration_seconds", "1", id="no time"),
        pytest.param({"network": "192.0.2.7", "reason": "a\r\n250 OK"}, "body.reason", "printable", id="a line end"),
        pytest.param({"network": "192.0.2.7", "reason": "größer"}, "body.reason", "ASCII", id="not ASCII"),
        pytest.param({"network": "192.0.2.7", "for": "1h"}, "body", "for", id="no such field"),
    ],
)
async def test_a_ban_that_makes_no_sense_is_refused(api: Api, body: dict[str, object], field: str, words: str) -> None:
    await api.add("relay-networks", network="198.51.100.0/24")
    refused = await api.admin.post(V1, json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    assert words in refused.json()["detail"]
    assert await api.cluster.bans() == []


async def test_trusted_proxies_are_not_banned(api: Api) -> None:
    async with api.parts.database.writing() as session:
        listeners = ListenersConfig(
            listeners=(ListenerConfig("behind", address="127.0.0.1:26", proxies=("10.1.0.0/24",)),)
        )
        edge = EdgeConfig(xclient_networks=("10.2.0.7",))
        session.add(ConfigDocument(key=LISTENERS_KEY, body=msgspec.to_builtins(listeners)))
        session.add(ConfigDocument(key=EDGE_KEY, body=msgspec.to_builtins(edge)))
    for network in ("10.1.0.9", "10.2.0.0/16"):
        refused = await api.admin.post(V1, json={"network": network})
        assert (refused.status_code, "trusted proxies" in refused.json()["detail"]) == (422, True)


async def test_nobody_bans_the_address_that_they_ask_from(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.admin._transport, "client", ("192.0.2.77", 40_000))
    refused = await api.admin.post(V1, json={"network": "192.0.2.0/24"})
    assert (refused.status_code, "192.0.2.77" in refused.json()["detail"]) == (422, True)


async def test_while_the_cluster_is_away_nothing_is_changed_or_noted(api: Api) -> None:
    api.cluster.is_connected = False
    for answer in (await api.admin.post(V1, json={"network": "192.0.2.7"}), await api.reader.get(V1)):
        assert (answer.status_code, "cannot be read or written now" in answer.json()["detail"]) == (503, True)
    assert await api.audited() == []


async def test_the_policy_is_changed_in_parts_and_null_restores_a_default(api: Api) -> None:
    assert BansPolicyBody.model_validate((await api.reader.get(f"{V1}/policy")).json()).authentication.threshold == 20
    patch = {"authentication": {"threshold": 3}, "early_talkers": {"enabled": False}, "longest_seconds": 7200}
    assert (await api.admin.patch(f"{V1}/policy", json=patch)).status_code == 200
    async with api.parts.database.reading() as session:
        policy = (await read_edge(session)).bans
    assert (policy.authentication.threshold, policy.authentication.window_seconds) == (3, 3600)
    assert (policy.early_talkers.enabled, policy.longest_seconds) == (False, 7200)
    assert (await api.audited())[-1]["action"] == "ban-policy.update"
    restored = await api.admin.patch(f"{V1}/policy", json={"authentication": None, "longest_seconds": None})
    assert restored.json()["authentication"]["threshold"] == BansPolicy().authentication.threshold


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        pytest.param({"authentication": {"threshold": 0}}, "authentication.threshold", id="no threshold"),
        pytest.param({"protocol": {"window_seconds": 90_000}}, "protocol.window_seconds", id="too long a window"),
        pytest.param({"protocol": {"duration_seconds": 90_000}}, "longest_seconds", id="longer than the longest"),
        pytest.param({"colour": 1}, "colour", id="no such field"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(api: Api, patch: dict[str, object], words: str) -> None:
    refused = await api.admin.patch(f"{V1}/policy", json=patch)
    assert (refused.status_code, words in refused.json()["detail"]) == (422, True), refused.text
    async with api.parts.database.reading() as session:
        assert (await read_edge(session)).bans == BansPolicy()


def test_the_command_line_says_what_cannot_be_done(admin: RunningAdmin) -> None:
    unreadable = admin.quick_cli("ban", "add", "192.0.2.7", "--for", "soon")
    assert (unreadable.returncode, "accepted is one like 90s" in unreadable.stderr) == (2, True)
    away = admin.quick_cli("ban", "list")  # NATS is away here
    assert (away.returncode, "Bans cannot be read" in away.stderr) == (5, True)
    changed = admin.quick_cli("ban", "policy", "protocol", "--threshold", "7", "--window", "5m", "-o", "json").json()
    assert (changed["protocol"]["threshold"], changed["protocol"]["window_seconds"]) == (7, 300)
    assert "threshold=7" in admin.quick_cli("ban", "policy").stdout
    nothing = admin.quick_cli("ban", "policy", "protocol")
    assert (nothing.returncode, "what to change" in nothing.stderr) == (2, True)
