"""Domains, mailboxes, aliases, routes and grants through the API, on both databases."""

import json
from datetime import timedelta

import pytest

from admin_api import Api
from tripost_admin_api.configuration import documents
from tripost_admin_api.configuration.documents import read_all
from tripost_shared.contracts.config import DIRECTORY_KEY, EDGE_KEY, DirectoryChange, EdgeConfig
from tripost_shared.database.models import Domain

V1 = "/api/v1"


async def test_a_domain_is_added_shown_listed_and_removed(api: Api) -> None:
    made = await api.add("domains", name="Local.TEST")
    assert made.headers["location"] == "/api/v1/domains/local.test"
    assert made.json()["name"] == "local.test"
    assert (await api.reader.get(f"{V1}/domains/LOCAL.test")).json() == made.json()
    assert [item["name"] for item in (await api.reader.get(f"{V1}/domains")).json()["items"]] == ["local.test"]
    assert (await api.admin.delete(f"{V1}/domains/local.test")).status_code == 204
    assert (await api.reader.get(f"{V1}/domains/local.test")).status_code == 404


async def test_an_internationalised_domain_is_kept_as_a_labels(api: Api) -> None:
    assert (await api.add("domains", name="bücher.example")).json()["name"] == "xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_domain_of_an_earlier_release_that_can_have_no_mail_is_shown_and_removed(api: Api, name: str) -> None:
    async with api.parts.database.writing() as session:
        session.add(Domain(name=name, created_at=api.clock.now()))
    assert (await api.reader.get(f"{V1}/domains/{name}")).json()["name"] == name
    assert (await api.admin.delete(f"{V1}/domains/{name}")).status_code == 204


async def test_a_domain_with_contents_is_removed_only_when_asked_for_that(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test")
    await api.add("aliases", address="info@local.test", targets=["user@local.test"])
    refused = await api.admin.delete(f"{V1}/domains/local.test")
    assert refused.status_code == 409
    assert "mailboxes (1) or aliases (1)" in refused.json()["detail"]
    assert (await api.admin.delete(f"{V1}/domains/local.test", params={"with_contents": True})).status_code == 204
    assert (await api.reader.get(f"{V1}/mailboxes")).json()["items"] == []


async def test_a_mailbox_lives_from_its_password_to_its_removal(api: Api) -> None:
    await api.add("domains", name="local.test")
    made = await api.add("mailboxes", address="User@local.test", password="correct horse")
    assert made.json() | {"created_at": ""} == {
        "address": "user@local.test",
        "enabled": True,
        "has_password": True,
        "secrets": [],
        "created_at": "",
        "former_removed_at": None,
    }
    path = f"{V1}/mailboxes/user@local.test"
    assert (await api.admin.patch(path, json={"enabled": False})).json()["enabled"] is False
    assert (await api.admin.put(f"{path}/password", json={"password": "battery staple"})).status_code == 204
    assert (await api.admin.put(f"{path}/password", json={"password": "user@LOCAL.test"})).status_code == 422
    assert (await api.reader.get(path)).json()["enabled"] is False
    assert (await api.admin.delete(path)).status_code == 204
    assert (await api.admin.delete(path)).status_code == 404


async def test_whoever_adds_a_mailbox_is_told_that_one_of_its_address_was_removed(api: Api) -> None:
    """Its mail is on disk still. An address that was none before is told nothing."""
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test")
    removed_at = api.clock.now()
    assert (await api.admin.delete(f"{V1}/mailboxes/user@local.test")).status_code == 204
    api.clock.advance(timedelta(days=1))
    made = await api.add("mailboxes", address="User@local.test")
    assert made.json()["former_removed_at"] == removed_at.isoformat().replace("+00:00", "Z")
    assert (await api.add("mailboxes", address="other@local.test")).json()["former_removed_at"] is None


async def test_of_a_domain_that_was_removed_with_mailboxes_each_address_may_have_been_one(api: Api) -> None:
    for name in ("full.test", "empty.test"):
        await api.add("domains", name=name)
    await api.add("mailboxes", address="user@full.test")
    api.clock.advance(timedelta(days=1))
    removed_at = api.clock.now()
    for name in ("full.test", "empty.test"):
        assert (await api.admin.delete(f"{V1}/domains/{name}?with_contents=true")).status_code == 204
        await api.add("domains", name=name)
    made = await api.add("mailboxes", address="user@full.test")
    assert made.json()["former_removed_at"] == removed_at.isoformat().replace("+00:00", "Z")
    assert (await api.add("mailboxes", address="user@empty.test")).json()["former_removed_at"] is None


async def test_mailboxes_are_listed_by_domain_in_parts(api: Api) -> None:
    for domain in ("b.test", "a.test"):
        await api.add("domains", name=domain)
        for number in range(3):
            await api.add("mailboxes", address=f"user{number}@{domain}")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.reader.get(f"{V1}/mailboxes", params={"limit": 2, "cursor": cursor})).json()
        seen += [item["address"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert seen == [f"user{number}@{domain}" for domain in ("a.test", "b.test") for number in range(3)]
    only = (await api.reader.get(f"{V1}/mailboxes", params={"domain": "B.test"})).json()
    assert [item["address"] for item in only["items"]] == [f"user{number}@b.test" for number in range(3)]
    for noun in ("mailboxes", "aliases"):
        refused = await api.reader.get(f"{V1}/{noun}", params={"domain": "c.test"})
        assert (refused.status_code, "not one of your domains" in refused.text) == (422, True)


async def test_no_route_is_made_for_a_domain_of_ours(api: Api) -> None:
    await api.add("domains", name="local.test")
    refused = await api.admin.post(f"{V1}/routes", json={"domain": "Local.test", "host": "mx.example"})
    assert (refused.status_code, "a domain of yours" in refused.text) == (422, True)
    await api.add("routes", domain=".local.test", host="mx.example")


async def test_a_domain_whose_mail_a_route_takes_is_added_by_force_only(api: Api) -> None:
    """From then on what is none of its mailboxes is refused, which the next hop took before."""
    for route in ("far.test", ".test", "*"):
        await api.add("routes", domain=route, host="mx.example")
    refused = await api.admin.post(f"{V1}/domains", json={"name": "Far.test"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tripost:problem:conflict")
    assert "There is a route for far.test, which would apply no more" in refused.json()["detail"]
    assert (await api.reader.get(f"{V1}/domains/far.test")).status_code == 404
    forced = await api.admin.post(f"{V1}/domains", json={"name": "far.test"}, params={"force": True})
    assert (forced.status_code, forced.json()["name"]) == (201, "far.test")
    assert (await api.reader.get(f"{V1}/routes/far.test")).status_code == 200
    again = await api.admin.post(f"{V1}/domains", json={"name": "far.test"}, params={"force": True})
    assert (again.status_code, again.json()["detail"]) == (409, "The domain far.test exists already.")
    await api.add("domains", name="near.test")  # a domain of its own below a route's is no surprise


async def test_a_route_names_a_next_hop(api: Api) -> None:
    made = await api.add("routes", domain="example.org", host="127.0.0.1", port=2600, tls="none")
    assert made.json()["host"] == "127.0.0.1"
    replaced = await api.admin.put(f"{V1}/routes/example.org", json={"host": "[IPv6:2001:DB8::1]"})
    assert (replaced.json()["host"], replaced.json()["port"], replaced.json()["tls"]) == ("2001:db8::1", 25, "may")
    await api.add("routes", domain=".example.org", accepts_from_anyone=True)
    await api.add("routes", domain="*", host="smarthost.example")
    listed = (await api.reader.get(f"{V1}/routes")).json()["items"]
    assert [item["domain"] for item in listed] == ["*", ".example.org", "example.org"]
    assert (await api.admin.delete(f"{V1}/routes/*")).status_code == 204
    assert (await api.admin.delete(f"{V1}/routes/.example.org")).status_code == 204


async def test_a_port_without_a_host_is_refused_and_never_shown(api: Api) -> None:
    """It would have no effect: MX records name no port."""
    for port in (2600, 25):
        refused = await api.admin.post(f"{V1}/routes", json={"domain": "example.org", "host": None, "port": port})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.port")
    made = await api.add("routes", domain="example.org", host="mx.example", port=2600)
    assert made.json()["port"] == 2600
    refused = await api.admin.put(f"{V1}/routes/example.org", json={"port": 2600})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.port")
    assert (await api.reader.get(f"{V1}/routes/example.org")).json() == made.json()
    wrong = await api.admin.put(f"{V1}/routes/example.org", json={"host": "mx:25", "port": 25})
    assert [error["field"] for error in wrong.json()["errors"]] == ["body.host"]
    by_mx = await api.admin.put(f"{V1}/routes/example.org", json={"host": None, "port": None})
    assert (by_mx.status_code, by_mx.json()["port"]) == (200, None)
    assert (await api.reader.get(f"{V1}/routes")).json()["items"] == [by_mx.json()]
    assert (await api.audited())[-1]["after"] == {
        "host": None,
        "port": None,
        "tls": "may",
        "accepts_from_anyone": False,
    }


async def test_no_route_makes_an_open_relay(api: Api) -> None:
    for domain in ("*", ".com", "com"):
        refused = await api.admin.post(f"{V1}/routes", json={"domain": domain, "accepts_from_anyone": True})
        assert (refused.status_code, "open relay" in refused.json()["detail"]) == (422, True)
        await api.add("routes", domain=domain, host="smarthost.example")
        refused = await api.admin.put(f"{V1}/routes/{domain}", json={"accepts_from_anyone": True})
        assert (refused.status_code, "open relay" in refused.json()["detail"]) == (422, True)


async def test_a_relay_network_of_an_earlier_release_that_is_too_wide_is_shown_and_removed(api: Api) -> None:
    async with api.parts.database.writing() as session:
        await documents.write(session, EDGE_KEY, EdgeConfig(relay_networks=("0.0.0.0/1",)), revision=1)
    assert (await api.reader.get(f"{V1}/relay-networks/0.0.0.0/1")).status_code == 200
    assert (await api.admin.delete(f"{V1}/relay-networks/0.0.0.0/1")).status_code == 204


async def test_a_relay_network_with_a_zone_that_is_taken_no_more_is_shown_and_removed(api: Api) -> None:
    async with api.parts.database.writing() as session:
        await documents.write(session, EDGE_KEY, EdgeConfig(relay_networks=("fe80::1%x/128",)), revision=1)
    where = f"{V1}/relay-networks/fe80::1%25x/128"
    assert (await api.reader.get(where)).json() == {"network": "fe80::1%x/128"}
    assert (await api.admin.delete(where)).status_code == 204


async def test_a_mailbox_is_granted_foreign_reverse_paths(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test")
    await api.add("mailboxes/user@local.test/grants", pattern="News@Other.example")
    await api.add("mailboxes/user@local.test/grants", pattern="@third.example")
    path = f"{V1}/mailboxes/user@local.test/grants"
    listed = (await api.reader.get(path)).json()["items"]
    assert [item["pattern"] for item in listed] == ["@third.example", "news@other.example"]
    assert (await api.reader.get(f"{path}/@third.example")).status_code == 200
    assert (await api.admin.delete(f"{path}/@third.example")).status_code == 204
    assert (await api.admin.delete(f"{path}/@third.example")).status_code == 404
    assert (await api.reader.get(f"{V1}/mailboxes/nobody@local.test/grants")).status_code == 404


async def test_what_exists_already_is_a_conflict(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test")
    await api.add("aliases", address="info@local.test", targets=["user@local.test"])
    await api.add("routes", domain="example.org")
    await api.add("mailboxes/user@local.test/grants", pattern="@other.example")
    for path, body in (
        ("domains", {"name": "LOCAL.test"}),
        ("mailboxes", {"address": "USER@local.test"}),
        ("aliases", {"address": "info@LOCAL.test", "targets": ["x@local.test"]}),
        ("routes", {"domain": "Example.org"}),
        ("mailboxes/user@local.test/grants", {"pattern": "@OTHER.example"}),
    ):
        answer = await api.admin.post(f"{V1}/{path}", json=body)
        assert (path, answer.status_code) == (path, 409)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        pytest.param("domains", {"name": "user@local.test"}, "after the @", id="an address where a domain is wanted"),
        pytest.param("domains", {"name": "-bad-.test"}, "no domain name", id="malformed domain"),
        pytest.param("domains", {"name": "[192.0.2.1]"}, "literal", id="address literal as a domain"),
        pytest.param("domains", {"name": "localhost"}, "not fully qualified", id="a host's name as a domain"),
        pytest.param("domains", {"name": "localhost."}, "not fully qualified", id="a host's name with a dot"),
        pytest.param("domains", {"name": "127.0.0.1"}, "ends with a number", id="an IP address as a domain"),
        pytest.param("domains", {"name": "x\u0000.test"}, "no domain name", id="NUL in a domain"),
        pytest.param("domains", {"name": 17}, "must be a text", id="a number as a name"),
        pytest.param("domains", {}, "required", id="nothing given"),
        pytest.param("domains", {"name": "a.test", "colour": "red"}, "accepted: name", id="a field that is none"),
        pytest.param("mailboxes", {"address": "user"}, "no domain", id="an address without a domain"),
        pytest.param(
            "mailboxes", {"address": "../../etc@local.test"}, "no mail address", id="dots in a mailbox's name"
        ),
        pytest.param("mailboxes", {"address": "a/b@local.test"}, "no slash", id="slash in a mailbox's name"),
        pytest.param("mailboxes", {"address": '".."@local.test'}, "no slash", id="quoted dots in a mailbox's name"),
        pytest.param("mailboxes", {"address": "*@local.test"}, "catch-all is an alias", id="star as a mailbox"),
        pytest.param("mailboxes", {"address": "a@foreign.example"}, "add it first", id="mailbox of a foreign domain"),
        pytest.param("mailboxes", {"address": "a@local.test", "password": "short"}, "at least 8", id="short password"),
        pytest.param("mailboxes", {"address": "a@local.test", "password": 17}, "must be a text", id="no text"),
        pytest.param(
            "mailboxes", {"address": "a@local.test", "password": "x-" * 3000}, "at most 512 octets", id="long password"
        ),
        pytest.param(
            "mailboxes",
            {"address": "a@local.test", "password": "half \ud800 a pair"},
            "is UTF-8 text",
            id="half a pair",
        ),
        pytest.param(
            "mailboxes", {"address": "a@local.test", "password": "A@local.test"}, "its account", id="own address"
        ),
        pytest.param("mailboxes", {"address": "a\ud800@local.test"}, "unicode", id="half a surrogate"),
        pytest.param(
            "aliases", {"address": "a@local.test", "targets": []}, "accepted are 1 or more", id="alias without targets"
        ),
        pytest.param("aliases", {"address": "a@local.test", "targets": ["A@local.test"]}, "leads back", id="a loop"),
        pytest.param("aliases", {"address": "a@foreign.example", "targets": ["b@x.example"]}, "add it", id="no domain"),
        pytest.param("aliases", {"address": "a@local.test", "targets": ["nobody"]}, "no mail address", id="bad target"),
        pytest.param("routes", {"domain": "*.example.org"}, "'.example.org'", id="star and dot in a route"),
        pytest.param("routes", {"domain": "example.org", "host": "mail:25"}, "port is given apart", id="port in host"),
        pytest.param("routes", {"domain": "example.org", "port": 0}, "accepted is 1 or more", id="port 0"),
        pytest.param("routes", {"domain": "example.org", "tls": "maybe"}, "'none', 'may' or 'encrypt'", id="bad tls"),
        pytest.param("relay-networks", {"network": "0.0.0.0/0"}, "of /8 at the widest", id="the Internet may relay"),
        pytest.param("relay-networks", {"network": "128.0.0.0/1"}, "of /8 at the widest", id="half of it may relay"),
        pytest.param("relay-networks", {"network": "2000::/3"}, "of /16 at the widest", id="all of IPv6 may relay"),
        pytest.param("relay-networks", {"network": "192.0.2.1/24"}, "192.0.2.0/24 is the network", id="host bits"),
        pytest.param(
            "relay-networks", {"network": "::ffff:192.0.2.0/120"}, "give it in IPv4's", id="IPv4 in IPv6's form"
        ),
        pytest.param("relay-networks", {"network": "here"}, "no network", id="no network at all"),
        pytest.param("relay-networks", {"network": "fe80::1%x/128"}, "without a zone (%)", id="a zone"),
        pytest.param("relay-networks", {"network": "fe80::1%x"}, "without a zone (%)", id="a zone, one address"),
        pytest.param("relay-networks", {"network": "64:ff9b::/96"}, "/96, which holds all of IPv4, of", id="NAT64"),
        pytest.param("relay-networks", {"network": "64:ff9b::/32"}, "of /104 at the widest", id="what holds NAT64"),
        pytest.param("relay-networks", {"network": "64:ff9b:1::/48"}, "of /104 at the widest", id="own NAT64"),
        pytest.param("relay-networks", {"network": "64:ff9b::/103"}, "of /104 at the widest", id="two /8 behind NAT64"),
        pytest.param("relay-networks", {"network": "2002::/16"}, "of /24 at the widest", id="6to4"),
        pytest.param("relay-networks", {"network": "2001::/32"}, "of /104 at the widest", id="Teredo"),
        pytest.param("relay-networks", {"network": "::/96"}, "of /104 at the widest", id="IPv4-compatible"),
        pytest.param("relay-networks", {"network": "::fffe:0:0/95"}, "of /104 at the widest", id="what holds mapped"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(api: Api, path: str, body: dict[str, object], told: str) -> None:
    await api.add("domains", name="local.test")
    raw = json.dumps(body).encode()
    answer = await api.admin.post(f"{V1}/{path}", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["type"] == "urn:tripost:problem:invalid"
    assert told in " ".join([problem["detail"], *(error["message"] for error in problem["errors"])])
    assert problem["errors"][0]["field"].startswith("body")


async def test_relay_networks_are_listed_and_removed_by_their_cidr_form(api: Api) -> None:
    await api.add("relay-networks", network="192.0.2.7")
    await api.add("relay-networks", network="2001:DB8::/32")
    listed = (await api.reader.get(f"{V1}/relay-networks")).json()["items"]
    assert [item["network"] for item in listed] == ["192.0.2.7/32", "2001:db8::/32"]
    assert (await api.reader.get(f"{V1}/relay-networks/192.0.2.7")).json() == {"network": "192.0.2.7/32"}
    assert (await api.admin.delete(f"{V1}/relay-networks/2001:db8::/32")).status_code == 204
    assert (await api.admin.delete(f"{V1}/relay-networks/2001:db8::/32")).status_code == 404


async def test_every_directory_change_raises_the_revision_and_is_audited_without_secrets(api: Api) -> None:
    await api.add("domains", name="local.test")
    await api.add("mailboxes", address="user@local.test", password="correct horse")
    await api.admin.put(f"{V1}/mailboxes/user@local.test/password", json={"password": "battery staple"})
    entries = await api.audited()
    assert [(entry["action"], entry["target"], entry["actor"]) for entry in entries] == [
        ("domain.create", "local.test", "token tests-admin"),
        ("mailbox.create", "user@local.test", "token tests-admin"),
        ("mailbox.password", "user@local.test", "token tests-admin"),
    ]
    assert [entry["revision"] for entry in entries] == [1, 2, 3]
    text = str(entries)
    assert "correct horse" not in text
    assert "battery staple" not in text
    assert "argon2" not in text
    async with api.parts.database.reading() as session:
        assert (await read_all(session))[DIRECTORY_KEY] == DirectoryChange(revision=3)


async def test_a_refused_change_leaves_nothing_behind(api: Api) -> None:
    await api.add("domains", name="local.test")
    assert (await api.admin.post(f"{V1}/domains", json={"name": "local.test"})).status_code == 409
    entries = await api.audited()
    assert [entry["revision"] for entry in entries] == [1]
    await api.add("domains", name="other.test")
    assert [entry["revision"] for entry in await api.audited()] == [1, 2]
