"""`tripost access` against a running admin-api."""

from collections.abc import Iterator

import pytest

from admin_service import RunningAdmin


@pytest.fixture(autouse=True)
def _no_rules_are_left(admin: RunningAdmin) -> Iterator[None]:
    yield
    for rule in admin.quick_cli("access", "list", "-o", "json").json():
        admin.quick_cli("access", "remove", rule["name"])


def test_rules_from_their_addition_to_their_removal(admin: RunningAdmin) -> None:
    assert "all clients are let in" in admin.quick_cli("access", "list").stderr
    added = admin.quick_cli("access", "add", "strangers", "deny", "--listener", "mx", "--no-tls", "--reply", "Go away")
    assert (added.returncode, added.stdout) == (0, "Access rule strangers added.\n")
    command = ("access", "add", "partner", "allow", "--name", ".partner.example", "--name", "b.example")
    assert admin.quick_cli(*command, "--before", "strangers", "-o", "json").json()["position"] == 1
    again = admin.quick_cli(*command)
    assert (again.returncode, admin.quick_cli(*command, "--if-missing").returncode) == (4, 0)
    (partner, strangers) = admin.quick_cli("access", "list", "-o", "json").json()
    assert (partner["names"], strangers["tls"]) == ([".partner.example", "b.example"], False)
    shown = admin.quick_cli("access", "list").stdout
    assert "name .partner.example, b.example" in shown
    assert "no TLS" in shown
    changed = admin.quick_cli("access", "set", "partner", "--network", "192.0.2.0/24", "--clear", "names", "-o", "json")
    assert (changed.json()["networks"], changed.json()["names"]) == (["192.0.2.0/24"], [])
    assert admin.quick_cli("access", "move", "partner", "--after", "strangers").stdout == (
        "Access rule partner is number 2 now.\n"
    )
    assert "192.0.2.0/24" in admin.quick_cli("access", "show", "partner").stdout
    assert admin.quick_cli("access", "remove", "partner").returncode == 0
    assert admin.quick_cli("access", "show", "partner").returncode == 3


def test_what_is_wrong_is_said_and_what_can_never_match_remarked_on(admin: RunningAdmin) -> None:
    refused = admin.quick_cli("access", "add", "r", "deny", "--network", "192.0.2.7", "--network", "x")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "networks[1]: 'x' is no network; accepted is one like 192.0.2.0/24" in refused.stderr
    for wrong in (
        ("set", "r"),
        ("set", "r", "--helo", "a.example", "--clear", "helo"),
        ("move", "r"),
        ("move", "r", "--position", "1", "--before", "s"),
        ("explain", "192.0.2.0/24"),
    ):
        assert admin.quick_cli("access", *wrong).returncode == 2, wrong
    admin.quick_cli("access", "add", "all", "tempfail")
    late = admin.quick_cli("access", "add", "late", "deny")
    assert (late.returncode, late.stdout) == (0, "Access rule late added.\n")
    warning = "Rule late never matches: rule all before it matches all that it would.\n"
    assert late.stderr == warning
    assert admin.quick_cli("access", "list").stderr == warning


def test_the_rule_that_decides_is_named(admin: RunningAdmin) -> None:
    admin.quick_cli("access", "add", "bad", "deny", "--helo", "bad.example")
    told = admin.quick_cli("access", "explain", "192.0.2.7", "--listener", "mx").stdout
    assert "Rule bad (deny) decides if it matches, which depends on what it says in HELO (--helo)" in told
    decided = admin.quick_cli("access", "explain", "192.0.2.7", "--helo", "bad.example", "--no-tls", "-o", "json")
    assert decided.json()["rule"] == "bad"
