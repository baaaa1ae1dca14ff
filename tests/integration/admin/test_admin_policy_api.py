"""The policy through the API: the whole of FilterConfig, nothing else, changed in parts or as a whole."""

from typing import Any

import msgspec
import pytest

from admin_api import Api
from tripost_admin_api.api.policy import (
    CheckPolicyBody,
    DnsblZoneBody,
    GreylistBody,
    PolicyBody,
    merge,
)
from tripost_admin_api.configuration.documents import read_filter
from tripost_shared.contracts.config import CheckPolicy, DnsblZone, FilterConfig, GreylistPolicy, PolicyMode

V1 = "/api/v1/policy"


async def in_force(api: Api) -> FilterConfig:
    async with api.parts.database.reading() as session:
        return await read_filter(session)


@pytest.mark.parametrize(
    ("body", "struct"),
    [
        pytest.param(PolicyBody, FilterConfig, id="policy"),
        pytest.param(CheckPolicyBody, CheckPolicy, id="check"),
        pytest.param(DnsblZoneBody, DnsblZone, id="zone"),
        pytest.param(GreylistBody, GreylistPolicy, id="greylist"),
    ],
)
def test_the_api_has_exactly_the_contracts_fields_and_defaults(body: Any, struct: Any) -> None:
    given = {"zone": "a.example"} if struct is DnsblZone else {}
    expected = msgspec.json.decode(msgspec.json.encode(struct(**given)))
    expected.pop("revision", None)
    assert body(**given).model_dump(mode="json") == expected


async def test_the_policy_is_shown_with_its_defaults(api: Api) -> None:
    answer = await api.reader.get(V1)
    assert answer.json()["mode"] == "enforce"
    assert answer.headers["etag"] == '"0"'


async def test_a_part_is_changed_and_the_rest_stays(api: Api) -> None:
    zone = {"zone": "Bl.example", "score": 3.0}
    assert (await api.admin.patch(V1, json={"mode": "monitor", "dnsbl_zones": [zone]})).status_code == 200
    changed = await api.admin.patch(V1, json={"greylist": {"delay_seconds": 60}})
    assert changed.json()["mode"] == "monitor"
    config = await in_force(api)
    assert config.mode is PolicyMode.MONITOR
    assert config.dnsbl_zones == (DnsblZone("bl.example", 3.0),)
    assert config.greylist == GreylistPolicy(delay_seconds=60)
    assert config.revision == 2
    assert changed.headers["etag"] == '"2"'
    assert (await api.audited())[-1]["after"] == {"greylist": msgspec.to_builtins(config.greylist)}


async def test_null_restores_a_default_and_a_check_is_set_by_its_name(api: Api) -> None:
    await api.admin.patch(V1, json={"reject_score": 20, "checks": {"spf": {"on_error": "tempfail"}}})
    assert (await in_force(api)).checks["spf"].on_error == "tempfail"
    await api.admin.patch(V1, json={"reject_score": None, "checks": {"spf": None}})
    assert (await in_force(api)).reject_score == 15.0
    assert (await in_force(api)).checks == {}


async def test_a_replacement_has_defaults_for_what_it_leaves_out(api: Api) -> None:
    await api.admin.patch(V1, json={"mode": "monitor", "tag_score": 5})
    assert (await api.admin.put(V1, json={"tag_score": 4})).status_code == 200
    assert await in_force(api) == FilterConfig(revision=2, tag_score=4)


async def test_a_change_of_what_was_changed_meanwhile_is_refused(api: Api) -> None:
    etag = (await api.reader.get(V1)).headers["etag"]
    await api.admin.patch(V1, json={"mode": "monitor"}, headers={"If-Match": etag})
    late = await api.admin.patch(V1, json={"tag_score": 5}, headers={"If-Match": etag})
    assert late.status_code == 412
    assert (await in_force(api)).tag_score == 6.0
    assert (await api.admin.put(V1, json={}, headers={"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        pytest.param({"mode": "off"}, "body.mode", id="no such mode"),
        pytest.param({"mode": None, "colour": 1}, "body.colour", id="no such field"),
        pytest.param({"dnsbl_zones": [{"zone": "not a zone"}]}, "body.dnsbl_zones.0.zone", id="malformed zone"),
        pytest.param({"dnsbl_zones": [{"zone": "a.example"}] * 2}, "body", id="a zone twice"),
        pytest.param({"checks": {"spf": {"on_error": "panic"}}}, "body.checks.spf.on_error", id="no such word"),
        pytest.param({"checks": {"../x": {}}}, "body.checks.../x.[key]", id="malformed check name"),
        pytest.param({"greylist": {"delay_seconds": -1}}, "body.greylist.delay_seconds", id="negative delay"),
        pytest.param({"greylist": {"delay_seconds": 80_000, "retry_window_seconds": 60}}, "body.greylist", id="window"),
        pytest.param({"tag_score": 16}, "body", id="tagged above refusal"),
        pytest.param({"exempt_networks": ["0.0.0.0/0"]}, "body.exempt_networks.0", id="all are exempt"),
        pytest.param({"revision": 99}, "body.revision", id="the revision is ours"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(api: Api, patch: dict[str, object], field: str) -> None:
    answer = await api.admin.patch(V1, json=patch)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert await in_force(api) == FilterConfig()


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_as_the_standards_examples_have_it(target: Any, patch: Any, merged: Any) -> None:
    """RFC 7396, appendix A."""
    assert merge(target, patch) == merged
