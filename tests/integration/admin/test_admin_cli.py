"""The command line against a running admin-api: what it prints, how it ends, what it never shows."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from admin_service import RunningAdmin, invoke, run_cli

PASSWORD = "correct horse"


def test_the_commands_of_the_contract_work_in_a_process_of_their_own(admin: RunningAdmin) -> None:
    assert admin.cli("domain", "add", "local.test").returncode == 0
    added = admin.cli("mailbox", "add", "user@local.test", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (added.returncode, added.stdout) == (0, "Mailbox user@local.test added.\n")
    listed = admin.cli("queue", "list", "-o", "json")
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])
    traced = admin.cli("message", "trace", "1k3v9q2m8f0abcde.1")
    assert (traced.returncode, traced.stdout) == (3, "")
    assert "Nothing is known" in traced.stderr
    assert admin.cli("policy", "mode", "monitor").returncode == 0
    assert admin.cli("policy", "mode", "enforce").returncode == 0


def test_it_starts_without_the_servers_libraries() -> None:
    """A command must not cost a second; the first of these imports alone would."""
    script = "import sys, tripost_admin_api.cli.main; print([m for m in sys.modules if m in sys.argv[1:]])"
    heavy = ["fastapi", "starlette", "sqlalchemy", "pydantic", "uvicorn", "httpx", "yaml", "rich.table", "argon2"]
    loaded = subprocess.run(
        [sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True, timeout=60
    )
    assert loaded.stdout.strip() == "[]"


def test_a_domain_from_its_addition_to_its_removal(admin: RunningAdmin) -> None:
    assert admin.quick_cli("domain", "add", "local.test", "-o", "json").json()["name"] == "local.test"
    assert admin.quick_cli("domain", "show", "local.test").stdout.startswith("name")
    assert "local.test" in admin.quick_cli("domain", "list").stdout
    assert yaml.safe_load(admin.quick_cli("domain", "list", "-o", "yaml").stdout)[0]["name"] == "local.test"
    admin.quick_cli("mailbox", "add", "user@local.test", "--no-password")
    refused = admin.quick_cli("domain", "remove", "local.test")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert admin.quick_cli("domain", "remove", "local.test", "--with-contents").returncode == 0
    assert admin.quick_cli("domain", "show", "local.test").returncode == 3


def test_adding_what_exists_is_a_conflict_unless_only_missing_things_are_wanted(admin: RunningAdmin) -> None:
    for command in (
        ["domain", "add", "local.test"],
        ["mailbox", "add", "user@local.test", "--no-password"],
        ["alias", "add", "info@local.test", "user@local.test"],
        ["grant", "add", "user@local.test", "@other.example"],
        ["route", "add", "example.org", "--host", "127.0.0.1", "--port", "2600", "--tls", "none"],
        ["relay-network", "add", "192.0.2.0/24"],
        ["xclient-network", "add", "192.0.2.0/24"],
    ):
        assert admin.quick_cli(*command).returncode == 0
        again = admin.quick_cli(*command)
        assert (again.returncode, again.stdout) == (4, "")
        assert "already" in again.stderr
        there = admin.quick_cli(*command, "--if-missing")
        assert (there.returncode, there.stdout, "left as it is" in there.stderr) == (0, "", True)


def test_the_check_of_authors_is_switched(admin: RunningAdmin) -> None:
    for state in ("off", "on"):
        assert admin.quick_cli("author-check", state).returncode == 0
        assert admin.quick_cli("author-check", "show", "-o", "json").json() == {"enabled": state == "on"}


def test_programs_get_what_is_added_and_what_was_there_alike(admin: RunningAdmin) -> None:
    for command, key, named in (
        (["domain", "add", "local.test"], "name", "local.test"),
        (["mailbox", "add", "User@local.test", "--no-password"], "address", "user@local.test"),
        (["alias", "add", "info@local.test", "user@local.test"], "address", "info@local.test"),
        (["grant", "add", "user@local.test", "@other.example"], "pattern", "@other.example"),
        (["route", "add", ".example.org", "--host", "127.0.0.1"], "domain", ".example.org"),
        (["relay-network", "add", "192.0.2.7"], "network", "192.0.2.7/32"),
    ):
        for _ in range(2):
            assert admin.quick_cli(*command, "--if-missing", "-o", "json").json()[key] == named


def test_application_passwords_and_mechanisms(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "local.test")
    admin.quick_cli("mailbox", "add", "user@local.test", "--no-password")
    add = ("mailbox", "app-password", "add", "user@local.test")
    made = admin.quick_cli(*add, "phone", "--network", "192.0.2.0/24", "--days", "30")
    assert (made.returncode, made.stdout.count("\n"), len(made.stdout.strip())) == (0, 1, 29)
    assert "shown this once" in made.stderr
    assert len(admin.quick_cli(*add, "tablet", "-o", "json").json()["password"]) == 29
    listed = admin.quick_cli("mailbox", "app-password", "list", "user@local.test")
    assert "192.0.2.0/24" in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    shown = admin.quick_cli("mailbox", "app-password", "show", "user@local.test", "tablet", "-o", "json")
    assert shown.json()["networks"] == []
    remove = ("mailbox", "app-password", "remove", "user@local.test", "phone")
    assert [admin.quick_cli(*remove).returncode for _ in range(2)] == [0, 3]
    assert admin.quick_cli("mailbox", "passwd", "user@local.test", "--remove").returncode == 0
    for options, code in ((["--mechanism", "plain", "--mechanism", "GSSAPI"], 0), (["--mechanism", "X"], 2), ([], 2)):
        assert admin.quick_cli("domain", "set", "local.test", *options).returncode == code
    shown = admin.quick_cli("domain", "show", "local.test", "-o", "json")
    assert shown.json()["mechanisms"] == ["GSSAPI", "PLAIN"]
    reset = admin.quick_cli("domain", "set", "local.test", "--default-mechanisms")
    assert reset.stdout == "Mailboxes of local.test may log in by PLAIN, LOGIN.\n"


def test_a_password_comes_from_standard_input_and_is_never_shown(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "local.test")
    without = admin.quick_cli("mailbox", "add", "user@local.test")
    assert (without.returncode, "--password-stdin" in without.stderr) == (2, True)
    empty = admin.quick_cli("mailbox", "add", "user@local.test", "--password-stdin")
    assert empty.returncode == 2
    short = admin.quick_cli("mailbox", "add", "user@local.test", "--password-stdin", stdin="short")
    assert (short.returncode, "at least 8" in short.stderr) == (2, True)
    added = admin.quick_cli("mailbox", "add", "user@local.test", "--password-stdin", "-o", "json", stdin=PASSWORD)
    assert added.json()["has_password"] is True
    changed = admin.quick_cli("mailbox", "passwd", "user@local.test", "--password-stdin", stdin=PASSWORD)
    shown = admin.quick_cli("mailbox", "show", "user@local.test")
    assert all(PASSWORD not in result.stdout + result.stderr for result in (added, changed, shown, short))
    assert admin.quick_cli("mailbox", "add", "user@local.test", PASSWORD).returncode == 2


def test_a_mailbox_is_disabled_and_enabled(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "local.test")
    admin.quick_cli("mailbox", "add", "user@local.test", "--no-password")
    admin.quick_cli("mailbox", "disable", "user@local.test")
    assert admin.quick_cli("mailbox", "list", "-o", "json").json()[0]["enabled"] is False
    admin.quick_cli("mailbox", "enable", "user@local.test")
    assert admin.quick_cli("mailbox", "list", "--domain", "local.test", "-o", "json").json()[0]["enabled"] is True


def test_aliases_routes_and_grants_are_shown_changed_and_removed(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "local.test")
    admin.quick_cli("mailbox", "add", "user@local.test", "--no-password")
    admin.quick_cli("alias", "add", "*@local.test", "user@local.test", "other@far.example")
    assert admin.quick_cli("alias", "show", "*@local.test", "-o", "json").json()["targets"][1] == "other@far.example"
    admin.quick_cli("alias", "set", "*@local.test", "user@local.test")
    assert admin.quick_cli("alias", "list", "-o", "json").json()[0]["targets"] == ["user@local.test"]
    assert admin.quick_cli("alias", "remove", "*@local.test").returncode == 0
    refused = admin.quick_cli("route", "add", ".example.org", "--port", "587")
    assert (refused.returncode, "port: belongs to a host" in refused.stderr) == (2, True)
    admin.quick_cli("route", "add", ".example.org")
    assert admin.quick_cli("route", "show", ".example.org", "-o", "json").json()["port"] is None
    admin.quick_cli("route", "set", ".example.org", "--host", "2001:db8::1", "--accept-from-anyone")
    assert admin.quick_cli("route", "show", ".example.org", "-o", "json").json()["host"] == "2001:db8::1"
    assert "2001:db8::1" in admin.quick_cli("route", "list").stdout
    admin.quick_cli("grant", "add", "user@local.test", "news@other.example")
    assert "news@other.example" in admin.quick_cli("grant", "list", "user@local.test").stdout
    assert admin.quick_cli("grant", "show", "user@local.test", "news@other.example").returncode == 0
    assert admin.quick_cli("grant", "remove", "user@local.test", "news@other.example").returncode == 0
    assert admin.quick_cli("relay-network", "add", "192.0.2.0/24").returncode == 0
    assert admin.quick_cli("relay-network", "show", "192.0.2.0/24").returncode == 0


def test_the_policy_is_changed_part_by_part(admin: RunningAdmin) -> None:
    assert "nothing is refused" in admin.quick_cli("policy", "mode", "monitor").stdout
    assert admin.quick_cli("policy", "dnsbl", "add", "Bl.example", "--score", "3").returncode == 0
    assert admin.quick_cli("policy", "dnsbl", "add", "bl.example").returncode == 4
    assert admin.quick_cli("policy", "dnsbl", "list", "-o", "json").json() == [
        {"zone": "bl.example", "score": 3.0, "refuse": True}
    ]
    assert admin.quick_cli("policy", "greylist", "--disable", "--delay", "60").returncode == 0
    assert admin.quick_cli("policy", "check", "spf", "--on-error", "tempfail").returncode == 0
    assert admin.quick_cli("policy", "set", "--reject-score", "12").returncode == 0
    assert admin.quick_cli("policy", "set", "--reject-score", "1").returncode == 2
    assert admin.quick_cli("policy", "set").returncode == 2
    assert admin.quick_cli("policy", "exempt", "add", "192.0.2.0/24").returncode == 0
    policy = admin.quick_cli("policy", "show", "-o", "json").json()
    assert policy["mode"] == "monitor"
    assert policy["greylist"]["enabled"] is False
    assert policy["checks"]["spf"]["on_error"] == "tempfail"
    assert "192.0.2.0/24" in policy["exempt_networks"]
    assert "bl.example" in admin.quick_cli("policy", "show").stdout
    assert admin.quick_cli("policy", "exempt", "remove", "192.0.2.0/24").returncode == 0
    assert admin.quick_cli("policy", "exempt", "remove", "192.0.2.0/24").returncode == 3
    assert admin.quick_cli("policy", "dnsbl", "remove", "bl.example").returncode == 0
    assert admin.quick_cli("policy", "dnsbl", "remove", "bl.example").returncode == 3
    assert admin.quick_cli("policy", "mode", "enforce").returncode == 0


def test_a_token_is_printed_once_alone_on_standard_output(admin: RunningAdmin, tmp_path: Path) -> None:
    made = admin.quick_cli("token", "add", "reader", "--scope", "read", "--days", "1")
    token = made.stdout.strip()
    assert token.startswith("tripost_")
    assert token not in admin.quick_cli("token", "list").stdout + admin.quick_cli("token", "show", "reader").stdout
    file = tmp_path / "token"
    file.write_text(token)
    as_reader = {"TRIPOST_HOME": str(admin.home), "TRIPOST_TOKEN_FILE": str(file)}
    assert invoke("domain", "list", **as_reader).returncode == 0
    refused = invoke("domain", "add", "local.test", **as_reader)
    assert (refused.returncode, "only look" in refused.stderr) == (6, True)
    assert admin.quick_cli("token", "remove", "reader").returncode == 0
    refused = invoke("domain", "list", **as_reader)
    assert (refused.returncode, str(file) in refused.stderr) == (6, True)


def test_the_token_in_use_is_removed_by_force_and_what_happens_then_is_told(
    admin: RunningAdmin, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(admin.quick_cli("token", "add", "own", "--scope", "admin").stdout)
    for variable, restart in (("TRIPOST_TOKEN_FILE", False), ("TRIPOST_ADMIN_CLI_TOKEN_FILE", True)):
        refused = invoke("token", "remove", "own", TRIPOST_HOME=str(admin.home), **{variable: str(file)})
        assert (refused.returncode, refused.stdout) == (4, "")
        assert "the token that this request itself came with" in refused.stderr
        assert "--force" in refused.stderr
        assert ("until admin-api, restarted, has made another" in refused.stderr) is restart
    used = {"TRIPOST_HOME": str(admin.home), "TRIPOST_ADMIN_CLI_TOKEN_FILE": str(file)}
    assert invoke("token", "remove", "own", "--force", **used).returncode == 0
    after = invoke("domain", "list", **used)
    assert after.returncode == 6
    assert f"The token came from {file}, where admin-api leaves another when it is restarted." in after.stderr


def test_the_operators_password_is_set(admin: RunningAdmin) -> None:
    assert admin.quick_cli("admin", "password", "--password-stdin", stdin="battery staple").returncode == 0
    with admin.client() as client:
        assert client.post("/api/v1/session", auth=("admin", "battery staple")).status_code == 201
    assert admin.quick_cli("admin", "password", "--operator", "x", "--password-stdin", stdin=PASSWORD).returncode == 3


def test_status_says_what_is_wrong_and_fails(admin: RunningAdmin) -> None:
    result = admin.quick_cli("status")
    assert result.returncode == 1
    assert "NATS is not reachable" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout.startswith("health        1 PROBLEM\n              NATS is not reachable")
    assert "NATS          NOT CONNECTED" in result.stdout
    assert json.loads(admin.quick_cli("status", "-o", "json").stdout)["nats_connected"] is False


def test_an_empty_table_says_what_to_do_next_beside_the_result(admin: RunningAdmin) -> None:
    for noun in ("domain", "mailbox", "alias", "route", "queue", "message", "relay-network"):
        result = admin.quick_cli(noun, "list")
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr
        assert admin.quick_cli(noun, "list", "-o", "json").json() == []


def test_a_queue_in_which_nothing_matches_is_not_called_empty(admin: RunningAdmin) -> None:
    whole = admin.quick_cli("queue", "list")
    assert (whole.returncode, whole.stdout, whole.stderr) == (0, "", "The queue is empty.\n")
    held = admin.quick_cli("queue", "list", "--state", "held")
    assert (held.returncode, held.stdout, held.stderr) == (0, "", "No such messages in the queue.\n")


def test_the_queue_commands_want_ids_or_all(admin: RunningAdmin) -> None:
    assert admin.quick_cli("queue", "retry").returncode == 2
    assert admin.quick_cli("queue", "retry", "--all").returncode == 0
    assert admin.quick_cli("queue", "hold", "1k3v9q2m8f0abcde.1").returncode == 3
    assert admin.quick_cli("queue", "show", "1k3v9q2m8f0abcde.1").returncode == 3


def test_options_of_every_command_may_stand_before_and_after_it(admin: RunningAdmin, tmp_path: Path) -> None:
    for arguments in (["-o", "json", "domain", "list"], ["domain", "--output=json", "list"]):
        assert admin.quick_cli(*arguments).json() == []
    token = ["--token-file", str(admin.home / "cli" / "token"), "--url", admin.url]
    ca = {"TRIPOST_HOME": str(tmp_path), "TRIPOST_API_CA": str(admin.home / "tls" / "admin.crt")}
    assert invoke("domain", "list", *token, **ca).returncode == 0
    assert invoke(*token, "domain", "list", **ca).returncode == 0
    assert invoke("domain", *token, "list", **ca).returncode == 0


def test_a_network_and_a_zone_are_found_however_they_are_typed(admin: RunningAdmin) -> None:
    assert "192.0.2.7/32 is exempt" in admin.quick_cli("policy", "exempt", "add", "192.0.2.7").stdout
    assert admin.quick_cli("policy", "exempt", "add", "192.0.2.7/32").returncode == 4
    assert admin.quick_cli("policy", "exempt", "remove", "192.0.2.7").returncode == 0
    assert admin.quick_cli("policy", "dnsbl", "add", "BL.example.").returncode == 0
    assert admin.quick_cli("policy", "dnsbl", "remove", "bl.EXAMPLE").returncode == 0


def test_a_checks_default_policy_is_restored(admin: RunningAdmin) -> None:
    admin.quick_cli("policy", "check", "dkim", "--disable")
    assert "check dkim        enabled=no" in admin.quick_cli("policy", "show").stdout
    assert admin.quick_cli("policy", "check", "dkim", "--default").returncode == 0
    assert "check dkim        its default policy" in admin.quick_cli("policy", "show").stdout


def test_a_domain_that_has_a_route_is_added_by_force_only(admin: RunningAdmin) -> None:
    admin.quick_cli("route", "add", "local.test", "--host", "127.0.0.1")
    for options in ([], ["--if-missing"]):
        refused = admin.quick_cli("domain", "add", "local.test", *options)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert "There is a route for local.test" in refused.stderr
        assert "--force" in refused.stderr
    assert admin.quick_cli("domain", "add", "local.test", "--force").returncode == 0
    there = admin.quick_cli("domain", "add", "local.test", "--if-missing")
    assert (there.returncode, "exists already; left as it is" in there.stderr) == (0, True)


def test_aliases_that_lead_to_what_takes_no_mail_any_more_are_remarked(admin: RunningAdmin) -> None:
    for name in ("local.test", "other.test"):
        admin.quick_cli("domain", "add", name)
    for name in ("user", "quiet"):
        admin.quick_cli("mailbox", "add", f"{name}@local.test", "--no-password")
    admin.quick_cli("alias", "add", "info@other.test", "user@local.test")
    for command in ("disable", "remove"):
        told = admin.quick_cli("mailbox", command, "user@local.test")
        assert told.returncode == 0
        assert "Aliases still lead to user@local.test: info@other.test." in told.stderr
        assert admin.quick_cli("mailbox", command, "quiet@local.test").stderr == ""
    told = admin.quick_cli("domain", "remove", "local.test")
    assert "Aliases still lead to @local.test: info@other.test." in told.stderr


def test_the_cluster_is_found_from_the_folder_above_its_state(admin: RunningAdmin, tmp_path: Path) -> None:
    (tmp_path / "var").symlink_to(admin.home)
    assert run_cli("domain", "list", cwd=tmp_path).returncode == 0


def test_adding_a_mailbox_that_was_remarks_on_the_mail_in_its_folder(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "former.test")
    add = ("mailbox", "add", "user@former.test", "--no-password")
    assert "removed-mailboxes.md" not in admin.quick_cli(*add).stderr
    assert admin.quick_cli("mailbox", "remove", "user@former.test").returncode == 0
    again = admin.quick_cli(*add)
    assert (again.returncode, again.stdout) == (0, "Mailbox user@former.test added.\n")
    assert again.stderr.startswith("A mailbox user@former.test, or its domain, was removed on ")
    assert "docs/operations/removed-mailboxes.md" in again.stderr
