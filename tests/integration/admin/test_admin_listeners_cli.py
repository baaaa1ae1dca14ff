"""`tripost listener` and `tripost edge-limit`, against a running admin-api."""

import pytest

from admin_service import RunningAdmin


@pytest.fixture(autouse=True)
def _as_before(admin: RunningAdmin) -> None:
    with admin.client() as client:
        for item in client.get("/api/v1/listeners").raise_for_status().json()["items"]:
            client.delete(f"/api/v1/listeners/{item['name']}")
        shown = client.get("/api/v1/limits").raise_for_status().json()
        client.patch("/api/v1/limits", json=dict.fromkeys(shown)).raise_for_status()


def test_a_listener_is_added_changed_shown_and_removed(admin: RunningAdmin) -> None:
    added = admin.quick_cli(
        *("listener", "add", "inside", "--address", "192.0.2.1:25", "--kind", "internal", "--proxy", "192.0.2.0/24"),
        *("--limit", "errors_per_session=3", "--limit", "session_seconds=60.5", "--node", "edge-0", "--node", "edge-1"),
    )
    assert (added.returncode, added.stdout) == (0, "Listener inside added.\n")
    again = admin.quick_cli("listener", "add", "inside", "--address", "192.0.2.1:25", "--if-missing")
    assert again.returncode == 0
    changed = admin.quick_cli(
        "listener", "set", "inside", "--tls-minimum", "1.3", "--disable", "--reset", "proxies", "-o", "json"
    ).json()
    assert (changed["tls_minimum"], changed["enabled"], changed["proxies"]) == ("1.3", False, [])
    assert changed["limits"] == {"errors_per_session": 3, "session_seconds": 60.5}
    assert changed["nodes"] == ["edge-0", "edge-1"]
    shown = admin.quick_cli("listener", "show", "inside").stdout
    assert "address       192.0.2.1:25\n" in shown
    table = admin.quick_cli("listener", "list").stdout
    assert [line.split()[0] for line in table.splitlines()[1:]] == [
        "inside",
        "mx",
        "proxy",
        "submission",
        "submissions",
    ]
    assert admin.quick_cli("listener", "remove", "inside").returncode == 0
    assert admin.quick_cli("listener", "show", "inside").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("listener", "set", "mx"), 2, "Nothing to change"),
        (("listener", "set", "mx", "--reset", "name"), 2, "--reset does not know name; accepted: address, "),
        (("listener", "set", "mx", "--cipher", "RC4"), 2, "ciphers[0]: 'RC4' is no suite of TLS 1.2"),
        (("listener", "add", "x"), 2, "address: accepted is one like 192.0.2.1:25"),
        (("listener", "remove", "mx"), 3, "mx is not configured: it is as it is built in"),
        (("edge-limit", "set", "errors_per_session"), 2, "is not NAME=VALUE"),
        (("edge-limit", "set", "errors_per_session=0"), 2, "errors_per_session: accepted is 1 or more"),
        (("edge-limit", "reset", "nothing"), 2, "there is no limit 'nothing' here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    admin: RunningAdmin, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = admin.quick_cli(*arguments)
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr


def test_limits_are_set_shown_and_reset(admin: RunningAdmin) -> None:
    assert (
        admin.quick_cli("edge-limit", "set", "errors_per_session=3", "recipients_limit=200").stdout == "Limits set.\n"
    )
    line = next(
        line
        for line in admin.quick_cli("edge-limit", "show").stdout.splitlines()
        if line.startswith("recipients_limit")
    )
    assert line.split()[1:8] == ["200", "100", "from", "100", "to", "5000", "yes"]
    left = admin.quick_cli("edge-limit", "reset", "recipients_limit", "-o", "json").json()
    assert (left["recipients_limit"], left["errors_per_session"]) == (None, 3)
