"""The policy through the API: the whole of FilterConfig, nothing else, changed in parts or as a whole."""

import json
from typing import Any

import msgspec
import pytest

from admin_api import Api
from tripost_admin_api.api.merge_patch import merge
from tripost_admin_api.api.policy import (
    CheckPolicyBody,
    DnsblZoneBody,
    GreylistBody,
    PolicyBody,
)
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.documents import read_filter
from tripost_shared.contracts.config import (
    DEFAULT_CHECKS,
    FILTER_KEY,
    CheckPolicy,
    DnsblZone,
    FilterConfig,
    GreylistPolicy,
    OnError,
    PolicyMode,
)

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
    expected = json.loads(msgspec.json.encode(struct(**given)))
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
    assert (await api.admin.put(V1, json={"mode": "enforce", "tag_score": 4})).status_code == 200
    assert await in_force(api) == FilterConfig(revision=2, tag_score=4)


async def test_a_replacement_that_says_nothing_resets_nothing(api: Api) -> None:
    await api.admin.patch(V1, json={"tag_score": 5})
    for body in ({}, {"tag_score": 4}):
        refused = await api.admin.put(V1, json=body)
        assert (refused.status_code, refused.json()["detail"]) == (422, "mode: is required")
    assert (await in_force(api)).tag_score == 5


async def test_a_change_of_what_was_changed_meanwhile_is_refused(api: Api) -> None:
    etag = (await api.reader.get(V1)).headers["etag"]
    await api.admin.patch(V1, json={"mode": "monitor"}, headers={"If-Match": etag})
    late = await api.admin.patch(V1, json={"tag_score": 5}, headers={"If-Match": etag})
    assert late.status_code == 412
    assert (await in_force(api)).tag_score == 6.0
    assert (await api.admin.put(V1, json={"mode": "enforce"}, headers={"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        pytest.param(['"0"'], 200, id="its tag"),
        pytest.param([' "0" '], 200, id="spaces around it"),
        pytest.param(['"17", "0"'], 200, id="one of a list"),
        pytest.param(['"17" ,, "0",'], 200, id="one of a list with empty elements"),
        pytest.param(['"17"', '"0"'], 200, id="one of two fields"),
        pytest.param(['W/"17", "0"'], 200, id="one of a list with a weak tag"),
        pytest.param(["*"], 200, id="whatever is there"),
        pytest.param(['"17", "18"'], 412, id="none of a list"),
        pytest.param(['W/"0"'], 412, id="its tag made weak"),
        pytest.param(['",", "17,0"'], 412, id="commas within"),
        pytest.param([""], 412, id="an empty list"),
        pytest.param(["0"], 400, id="no quotes"),
        pytest.param(['"0" "17"'], 400, id="no comma"),
        pytest.param(['*, "0"'], 400, id="anything and a tag"),
        pytest.param(['"0'], 400, id="no end"),
        pytest.param(['w/"0"'], 400, id="a small w"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_change_is_done_if_one_of_the_tags_is_the_policys(
    api: Api, method: str, if_match: list[str], status: int
) -> None:
    headers = [("If-Match", field) for field in if_match]
    answer = await api.admin.request(method, V1, json={"mode": "monitor"}, headers=headers)
    assert answer.status_code == status, answer.text
    assert (await in_force(api)).mode is (PolicyMode.MONITOR if status == 200 else PolicyMode.ENFORCE)


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        pytest.param({"mode": "off"}, "body.mode", id="no such mode"),
        pytest.param({"mode": None, "colour": 1}, "body", id="no such field"),
        pytest.param({"dnsbl_zones": [{"zone": "not a zone"}]}, "body.dnsbl_zones[0].zone", id="malformed zone"),
        pytest.param({"dnsbl_zones": [{"zone": "a.example"}] * 2}, "body", id="a zone twice"),
        pytest.param({"checks": {"spf": {"on_error": "panic"}}}, "body.checks.spf.on_error", id="no such word"),
        pytest.param({"checks": {"../x": {}}}, "body.checks.../x.[key]", id="malformed check name"),
        pytest.param({"greylist": {"delay_seconds": -1}}, "body.greylist.delay_seconds", id="negative delay"),
        pytest.param({"greylist": {"delay_seconds": 80_000, "retry_window_seconds": 60}}, "body.greylist", id="window"),
        pytest.param({"checks": {"spff": {}}}, "body.checks", id="no such check"),
        pytest.param({"checks": {"spf": {"colour": 1}}}, "body.checks.spf", id="no such field of a check"),
        pytest.param({"checks": {"spf": {"error_score": -1001}}}, "body.checks.spf.error_score", id="score too low"),
        pytest.param({"checks": {"spf": {"time_budget_ms": 10**30}}}, "body.checks.spf.time_budget_ms", id="too long"),
        pytest.param({"tag_score": 16}, "body", id="tagged above refusal"),
        pytest.param({"exempt_networks": ["0.0.0.0/0"]}, "body.exempt_networks[0]", id="all are exempt"),
        pytest.param({"exempt_networks": ["fe80::1%x/128"]}, "body.exempt_networks[0]", id="a zone"),
        pytest.param({"revision": 99}, "body", id="the revision is ours"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(api: Api, patch: dict[str, object], field: str) -> None:
    answer = await api.admin.patch(V1, json=patch)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert await in_force(api) == FilterConfig()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "1000.5"])
async def test_a_score_is_a_number_within_bounds(api: Api, method: str, number: str) -> None:
    body = f'{{"mode": "enforce", "reject_score": {number}}}'
    answer = await api.admin.request(method, V1, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "reject_score: accepted is a number from -1000 to 1000"


async def test_what_exempts_nobody_is_not_shown_and_goes_with_the_next_change(api: Api) -> None:
    stored = FilterConfig(exempt_networks=("127.0.0.0/8", "fe80::1%x/128"))
    async with api.parts.database.writing() as session:
        await documents.write(session, FILTER_KEY, stored, revision=1)
    assert (await api.reader.get(V1)).json()["exempt_networks"] == ["127.0.0.0/8"]
    assert (await api.admin.patch(V1, json={"tag_score": 5})).status_code == 200
    assert (await in_force(api)).exempt_networks == ("127.0.0.0/8",)


async def test_what_is_exempt_is_no_relay_network(api: Api) -> None:
    """It may be wider, and what is refused says nothing about relaying."""
    assert (await api.admin.patch(V1, json={"exempt_networks": ["128.0.0.0/1"]})).status_code == 200
    refused = await api.admin.patch(V1, json={"exempt_networks": ["0.0.0.0/0"]})
    assert refused.json()["detail"] == (
        "exempt_networks[0]: 0.0.0.0/0 would exempt every client; disable the checks dnsbl and greylist instead"
    )


async def test_an_unknown_check_is_refused_with_those_that_there_are(api: Api) -> None:
    answer = await api.admin.patch(V1, json={"checks": {"dmark": {"enabled": False}}})
    assert answer.status_code == 422
    assert "there is no check 'dmark' here; accepted: patterns, dnsbl, reverse_dns, spf" in answer.json()["detail"]


async def test_a_check_of_another_release_that_is_configured_hinders_no_change(api: Api) -> None:
    async with api.parts.database.writing() as session:
        other = FilterConfig(checks={"future": CheckPolicy(enabled=False)})
        await documents.write(session, FILTER_KEY, other, revision=1)
    assert (await api.admin.patch(V1, json={"tag_score": 5})).status_code == 200
    assert (await in_force(api)).checks == {"future": CheckPolicy(enabled=False)}
    assert (await api.admin.patch(V1, json={"checks": {"future": None}})).json()["checks"] == {}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_what_is_left_out_of_a_checks_policy_has_that_checks_default(api: Api, method: str) -> None:
    body = {"mode": "enforce", "checks": {"dkim": {"on_error": "tempfail"}}}
    assert (await api.admin.request(method, V1, json=body)).status_code == 200
    expected = msgspec.structs.replace(DEFAULT_CHECKS["dkim"], on_error=OnError.TEMPFAIL)
    assert (await in_force(api)).checks["dkim"] == expected
    assert expected.time_budget_ms != CheckPolicy().time_budget_ms


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
