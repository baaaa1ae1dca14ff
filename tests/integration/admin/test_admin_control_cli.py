"""`tripost rule` and `tripost limit` against a running admin-api."""

import asyncio
import time
from pathlib import Path

from admin_service import RunningAdmin
from servers import NatsServer
from tripost_shared.bus.nats_link import NatsLink
from tripost_shared.clock import SystemClock
from tripost_shared.counters.jetstream import JetStreamCounters
from tripost_shared.settings import CommonSettings


def test_a_rule_from_its_addition_to_its_removal(admin: RunningAdmin) -> None:
    added = admin.quick_cli("rule", "add", "no-bulk", "deny", "--reverse-path", "@bulk.example", "--text", "No bulk")
    assert added.stdout == "Rule no-bulk added.\n"
    assert admin.quick_cli("rule", "add", "no-bulk", "deny").returncode == 4
    admin.quick_cli("rule", "add", "mark", "add-header", "--header", "X-Class: bulk mail", "--before", "no-bulk")
    listed = admin.quick_cli("rule", "list").stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["1", "mark", "add-header", "X-Class", "bulk", "mail", "all", "mail", "yes"],
        ["2", "no-bulk", "deny", "No", "bulk", "reverse", "paths:", "@bulk.example", "yes"],
    ]
    moved = admin.quick_cli("rule", "move", "no-bulk", "--position", "1")
    assert moved.stdout == "Rule no-bulk is number 1 now.\n"
    admin.quick_cli("rule", "disable", "no-bulk")
    changed = admin.quick_cli("rule", "set", "no-bulk", "--reverse-path", "", "--size-over", "9", "-o", "json").json()
    assert (changed["reverse_paths"], changed["size_over_octets"], changed["enabled"]) == ([], 9, False)
    assert admin.quick_cli("rule", "enable", "no-bulk").returncode == 0
    assert "no-bulk" in admin.quick_cli("rule", "show", "no-bulk").stdout
    assert admin.quick_cli("rule", "remove", "no-bulk").returncode == 0
    assert admin.quick_cli("rule", "show", "no-bulk").returncode == 3


def test_what_a_rule_cannot_have_is_refused_in_words(admin: RunningAdmin) -> None:
    for arguments, words in (
        (["rule", "add", "a", "deny", "--recipient", "dest.example"], "neither of: an address"),
        (["rule", "add", "a", "add-header", "--header", "X-Class"], "has no colon"),
        (["rule", "add", "a", "limit", "--rate", "gone"], "there is no rate gone"),
        (["rule", "move", "a"], "Give one of --position"),
        (["rule", "set", "a"], "Nothing to change"),
    ):
        refused = admin.quick_cli(*arguments)
        assert (refused.returncode, refused.stdout) == (2, ""), arguments
        assert words in refused.stderr


def test_a_rate_from_its_addition_to_its_removal(admin: RunningAdmin) -> None:
    added = admin.quick_cli(
        "limit", "add", "submitters", "--per", "login", "--messages", "100/hour", "--messages", "500/day"
    )
    assert added.stdout == "Rate submitters added.\n"
    admin.quick_cli("limit", "set", "submitters", "--messages", "none/hour", "--recipients", "9/minute")
    admin.quick_cli("limit", "set", "submitters", "--for", "News@dest.example", "--messages", "5000/day")
    admin.quick_cli("limit", "set", "submitters", "--for", "news@dest.example", "--recipients", "90/minute")
    (shown,) = admin.quick_cli("limit", "list", "-o", "json").json()["rates"]
    assert shown["overrides"] == [
        {
            "key": "news@dest.example",
            "messages": {"minute": None, "hour": None, "day": 5000},
            "recipients": {"minute": 90, "hour": None, "day": None},
        }
    ]
    listed = admin.quick_cli("limit", "list").stdout
    assert "submitters" in listed
    assert "500/day" in listed
    assert "9/minute" in listed
    assert admin.quick_cli("limit", "remove", "submitters", "--for", "news@dest.example").returncode == 0
    assert admin.quick_cli("limit", "remove", "submitters", "--for", "news@dest.example").returncode == 3
    assert admin.quick_cli("limit", "show", "submitters", "-o", "json").json()["overrides"] == []
    assert admin.quick_cli("limit", "remove", "submitters").returncode == 0
    assert "No rates" in admin.quick_cli("limit", "list").stderr


def test_what_is_no_limit_is_refused_in_words(admin: RunningAdmin) -> None:
    for arguments, words in (
        (["limit", "add", "a", "--per", "login", "--messages", "100"], "accepted is one like 100/hour"),
        (["limit", "add", "a", "--per", "login"], "a rate limits something"),
        (["limit", "set", "a", "--for", "x@y.example", "--disable"], "--for goes with"),
        (["limit", "show", "user:x"], "does not begin with client:"),
    ):
        refused = admin.quick_cli(*arguments)
        assert (refused.returncode, refused.stdout) == (2, ""), arguments
        assert words in refused.stderr


def test_what_is_used_up_is_shown_for_a_key_and_for_those_nearest_to_a_limit(tmp_path: Path) -> None:
    with NatsServer() as nats, RunningAdmin(tmp_path, nats.url) as admin:
        admin.quick_cli(
            "limit", "add", "submitters", "--per", "login", "--messages", "50/day", "--recipients", "9/hour"
        )
        deadline = time.monotonic() + 15
        while (shown := admin.quick_cli("limit", "show", "login:ann@dest.example")).returncode == 5:
            assert time.monotonic() < deadline, shown.stderr
            time.sleep(0.05)
        asyncio.run(count(nats, "login:ann@dest.example", 45))
        asyncio.run(count(nats, "login:bob@dest.example", 50))
        shown = admin.quick_cli("limit", "show", "login:Ann@dest.example")
        lines = [" ".join(line.split()) for line in shown.stdout.splitlines()[1:]]
        assert lines == [
            "login:ann@dest.example submitters 45 of 50 messages in a day 90% now",
            "login:ann@dest.example submitters 0 of 9 recipients in an hour 0% now",
        ]
        listed = admin.quick_cli("limit", "list", "--nearest", "2").stdout.splitlines()
        assert [line.split()[0] for line in listed if line][1:] == [
            "submitters",
            "KEY",
            "login:bob@dest.example",
            "login:ann@dest.example",
        ]
        assert " 100% " in listed[-2]


async def count(nats: NatsServer, key: str, amount: int) -> None:
    link = await NatsLink.connect(CommonSettings(nats_url=nats.url), "test")
    await JetStreamCounters(link, SystemClock()).add("rate-messages", f"submitters|{key}", 86_400, amount)
    await link.close()
