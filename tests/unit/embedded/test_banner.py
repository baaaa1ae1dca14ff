"""What a newcomer reads when the cluster is ready."""

from pathlib import Path

import pytest

from tripost_embedded.banner import ready_text, shared_user_notice, unknown_notice, unreachable_notice
from tripost_embedded.home import Home
from tripost_embedded.ports import ADMIN, MX, SUBMISSION
from tripost_shared.settings import Listen

LISTENERS = [(MX, Listen("127.0.0.1:2525")), (ADMIN, Listen("127.0.0.1:8443"))]
HOME = Home(Path("/srv/var"), Path("/srv/var"))
NAME = "mx.example"


def test_addresses_token_and_password_are_told() -> None:
    text = ready_text(LISTENERS, HOME, NAME, {}, "correct-horse")
    for told in ("127.0.0.1:2525", "127.0.0.1:8443", "/srv/var/cli/token", "correct-horse"):
        assert told in text


def tried(first_password: str) -> list[str]:
    """Give the commands that are proposed."""
    lines = ready_text(LISTENERS, HOME, NAME, {}, first_password).splitlines()
    return [line.partition(".venv/bin/tripost ")[2] for line in lines if ".venv/bin/tripost " in line]


def test_the_first_start_proposes_how_to_begin_and_a_later_one_how_to_look() -> None:
    assert tried("correct-horse") == ["demo", "domain add local.test", "mailbox add user@local.test"]
    assert tried("") == ["status", "message list", "queue list"]


def test_no_password_is_told_after_the_first_start() -> None:
    assert "password" not in ready_text(LISTENERS, HOME, NAME, {}, "")


def test_commands_name_the_settings_that_the_command_line_must_know() -> None:
    text = ready_text(LISTENERS, HOME, NAME, {"TRIPOST_HOME": "/srv/my var", "TRIPOST_EDGE_WORKERS": "2"}, "")
    assert "TRIPOST_HOME='/srv/my var' .venv/bin/tripost status" in text


def test_the_demo_is_told_where_the_listeners_are_if_not_where_they_are_by_default() -> None:
    moved = [(MX, Listen("127.0.0.1:3525")), (SUBMISSION, Listen("127.0.0.1:2587"))]
    assert ".venv/bin/tripost demo --mx 127.0.0.1:3525\n" in ready_text(moved, HOME, NAME, {}, "correct-horse")


def test_a_host_name_without_a_domain_is_told_with_its_setting() -> None:
    assert "TRIPOST_HOSTNAME" in ready_text(LISTENERS, HOME, "vm", {}, "")
    assert "TRIPOST_HOSTNAME" not in ready_text(LISTENERS, HOME, "mx.example", {}, "")


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant() -> None:
    assert "did you mean TRIPOST_EDGE_WORKERS?" in unknown_notice("TRIPOST_EGDE_WORKERS", "TRIPOST_EDGE_WORKERS")
    assert "docs/settings.md" in unknown_notice("TRIPOST_BANANA", "")


@pytest.mark.parametrize("told", ["nobody", "/home/ann", "chmod o+x /home/ann", "/opt", "TRIPOST_RUN_USER"])
def test_the_notice_on_a_closed_folder_says_what_and_how_to_mend_it(told: str) -> None:
    assert told in unreachable_notice("nobody", Path("/home/ann"))


def test_the_notice_on_the_default_user_names_it_and_the_setting_in_one_line() -> None:
    told = shared_user_notice("nobody")
    assert "nobody" in told
    assert "TRIPOST_RUN_USER" in told
    assert "\n" not in told
