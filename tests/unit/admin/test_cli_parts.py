"""The command line's own parts: what it makes of its arguments, and what it lets through to a terminal."""

import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer
import yaml

from tripost_admin_api import openapi
from tripost_admin_api.cli import main, reference
from tripost_admin_api.cli.adding import read_password
from tripost_admin_api.cli.arrangement import arranged
from tripost_admin_api.cli.client import path
from tripost_admin_api.cli.demo import EICAR, GTUBE, Sent
from tripost_admin_api.cli.examples import EXAMPLES
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.home import find, read_token
from tripost_admin_api.cli.main import app
from tripost_admin_api.cli.messages import first_recipients
from tripost_admin_api.cli.output import as_json, as_yaml, cell, moment
from tripost_admin_api.cli.timeline import timeline
from tripost_shared.mail.header import is_printable

ROOT = Path(__file__).parents[3]


def test_what_stands_in_a_path_is_encoded_whole() -> None:
    assert path("aliases", "*@local.test") == "aliases/*@local.test"
    assert path("aliases", '"a/b ?#"@x.test') == "aliases/%22a%2Fb%20%3F%23%22@x.test"


@pytest.mark.parametrize(
    ("recipients", "truncated", "shown"),
    [
        pytest.param(0, False, "-", id="none"),
        pytest.param(2, False, "0@a.test, 1@a.test", id="two"),
        pytest.param(99, False, "0@a.test, 1@a.test, +97", id="many"),
        pytest.param(99, True, "0@a.test, 1@a.test, +97…", id="many, and maybe more"),
        pytest.param(1, True, "0@a.test, …", id="maybe more"),
    ],
)
def test_a_list_shows_the_first_recipients_and_the_number_of_the_others(
    recipients: int, truncated: bool, shown: str
) -> None:
    addresses = [f"{number}@a.test" for number in range(recipients)]
    assert cell(first_recipients({"recipients": addresses, "recipients_truncated": truncated})) == shown


def test_nothing_that_mail_says_controls_the_terminal() -> None:
    assert cell("\x1b[31mred\x07\n") == "?[31mred??"
    assert cell(["a\x00", True, None]) == "a?, yes, -"
    assert cell({"zone": "bl.example"}) == "zone=bl.example"
    assert cell([]) == "-"
    assert cell("\x9b31m \u202egnp.exe\u2028") == "?31m ?gnp.exe?"
    assert moment("2026-01-31T12:00:00.123Z") == "2026-01-31 12:00:00"


HOSTILE = "\x1b]0;x\x07 \x9b31m \x85 \u202egnp.exe \u2028 \u2066 dörte ☃"


@pytest.mark.parametrize("hostile", [HOSTILE, "two\nlines", f"'{HOSTILE}'", "- : #\u200f", "\u202e"])
@pytest.mark.parametrize(("write", "read"), [(as_json, json.loads), (as_yaml, yaml.safe_load)], ids=["JSON", "YAML"])
def test_json_and_yaml_escape_what_a_terminal_would_obey_and_lose_nothing(
    write: Callable[[Any], str], read: Callable[[str], Any], hostile: str
) -> None:
    value = [{"subject": hostile, hostile: [hostile * 30]}]
    text = write(value)
    assert read(text) == value
    assert is_printable(text.replace("\n", ""))
    assert ("☃" in text) is ("☃" in hostile)


@pytest.mark.parametrize(
    ("given", "as_arranged"),
    [
        ("domain list", "domain list"),
        ("-o json domain list", "domain list -o json"),
        ("domain -o json list", "domain list -o json"),
        ("domain list --output=json", "domain list --output=json"),
        ("domain -ojson list", "domain list -ojson"),
        ("domain list --url https://a.example", "--url https://a.example domain list"),
        ("domain --token-file=t list --url u -o yaml", "--token-file=t --url u domain list -o yaml"),
        ("mailbox add -o json -- -o --url", "mailbox add -o json -- -o --url"),
        ("-o json mailbox add -- x", "mailbox add -o json -- x"),
        ("domain list --url", "--url"),
        ("domain list -o", "domain list -o"),
        ("", ""),
    ],
)
def test_some_options_may_stand_anywhere(given: str, as_arranged: str) -> None:
    """An option whose value is missing never takes the command for it."""
    assert arranged(given.split()) == as_arranged.split()


def commands() -> Iterator[tuple[str, Any]]:
    def under(group: Any, above: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from under(command, f"{above}{name} ")
            else:
                yield f"{above}{name}", command

    yield from under(typer.main.get_command(app), "")


def test_every_command_has_an_example_of_its_own_options() -> None:
    there_are = dict(commands())
    assert set(EXAMPLES) == set(there_are)
    for name, command in there_are.items():
        words = shlex.split(EXAMPLES[name].partition(" < ")[0])
        assert " ".join(words).startswith(name)
        known = {own for parameter in command.params for own in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, name
        assert EXAMPLES[name] in command.epilog


def test_the_reference_says_what_is_accepted() -> None:
    text = reference.document()
    assert "- `--tls`: none: never; may: when it is offered" in text
    assert "Accepted: `none`, `may`, `encrypt`. Default: `may`." in text
    assert "- `--port`: The port of --host; else 25. A whole number from 1 to 65535.\n" in text
    assert (
        "- `--limit`: Most messages; else a table has 50, JSON and YAML have all. A whole number, 1 or more.\n" in text
    )
    assert "Example: `tripost route add example.org --host" in text


@pytest.mark.parametrize("url", ["foo", "http://127.0.0.1:8443", "https://", "https://[::1", "https://a.example:x"])
def test_a_token_is_sent_by_https_to_a_named_host_only(tmp_path: Path, url: str) -> None:
    with pytest.raises(CommandFailed, match="accepted is one like https://") as caught:
        find({"TRIPOST_HOME": str(tmp_path)}, url)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"with space", b"\xff\xfe", "dörte".encode()])
def test_a_file_that_holds_no_token_is_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(CommandFailed) as caught:
        read_token(find({"TRIPOST_HOME": str(tmp_path)}, token_file=str(file)))
    assert str(caught.value) == (
        f"The file {file} holds no token; accepted is one line, as tripost token add prints it."
    )
    assert caught.value.code is ExitCode.NOT_AUTHORISED


def test_what_breaks_in_a_command_is_one_line_without_what_it_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(main, "app", broken)
    assert main.run(["domain", "list"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("tripost: This command is broken (RuntimeError at test_cli_parts.py:")
    assert told.err.count("\n") == 1
    assert "secret" not in told.err


def test_a_password_that_is_not_typed_to_its_end_changes_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", Mock(side_effect=typer.Abort))
    with pytest.raises(CommandFailed, match="nothing was changed") as caught:
        read_password("user@local.test", from_stdin=False)
    assert caught.value.code is ExitCode.BROKEN_OFF


def test_a_password_that_is_no_text_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the C locale its octets come as halves of surrogates."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 caf\xe9\n"), "utf-8", "surrogateescape"))
    with pytest.raises(CommandFailed, match="The password is no UTF-8 text") as caught:
        read_password("user@local.test", from_stdin=True)
    assert caught.value.code is ExitCode.USAGE


def fact(**members: Any) -> dict[str, Any]:
    names = ("stage", "recipient", "next_hop", "reply", "detail", "tried_login", "action", "rule", "intended")
    texts = dict.fromkeys(names, "")
    return {
        "score": 0.0,
        "message_id": "1k3v9q2m8f0abcde.1",
        "at": "2026-01-31T12:00:00.1Z",
        "findings": [],
        **texts,
        **members,
    }


def test_a_time_line_tells_what_happened_and_why() -> None:
    finding = {
        "check": "spf",
        "result": "fail",
        "score": 3.5,
        "because": "no mechanism matched",
        "degraded": True,
        "evidence": {"record": "v=spf1 -all"},
        "elapsed_ms": 1.25,
    }
    trace = {
        "id": "1k3v9q2m8f0abcde.1",
        "status": "bounced",
        "reverse_path": "",
        "recipients": ["bob@local.test"],
        "subject": "Hi \x1b[31m",
        "direction": "inbound",
        "client": "192.0.2.7",
        "login": "",
        "size_octets": 1234,
        "truncated": False,
        "session_messages": ["1k3v9q2m8f0abcde.2"],
        "related": [{"id": "1k3v9q2m8f0abcdf.1", "relation": "bounce", "status": None}],
        "events": [
            fact(
                fact="refused",
                service="edge",
                stage="auth",
                message_id="1k3v9q2m8f0abcde",
                reply="535 5.7.8 no",
                tried_login="who@local.test",
            ),
            fact(
                fact="accepted",
                service="edge",
                stage="data",
                findings=[finding],
                action="tag",
                rule="monitor:spf",
                intended="reject",
                score=7.0,
            ),
            fact(fact="relayed", service="domains", recipient="bob@local.test", next_hop="mx.example", detail="x"),
        ],
    }
    text = "\n".join(timeline(trace))
    assert "from      <>" in text
    assert "\x1b" not in text
    assert "refused    edge/auth" in text
    assert "[1k3v9q2m8f0abcde]" in text
    assert "user name: who@local.test" in text
    assert "+3.5 (could not do its work) no mechanism matched [1.2 ms]" in text
    assert "record=v=spf1 -all" in text
    assert "verdict: tag by monitor:spf, score +7.0; monitor mode held back: reject" in text
    assert text.count("verdict:") == 1
    assert "bob@local.test → mx.example" in text
    assert "2026-01-31 12:00:00.100" in text
    assert "bounce: 1k3v9q2m8f0abcdf.1 (nothing known)" in text
    assert "the same session: 1k3v9q2m8f0abcde.2" in text


def test_the_id_is_found_in_whatever_the_server_said() -> None:
    assert Sent(250, "2.0.0 Accepted as 1k3v9q2m8f0abcde.1").identifier == "1k3v9q2m8f0abcde.1"
    assert Sent(554, "5.7.1 Refused: spam (1k3v9q2m8f0abcde.12)").identifier == "1k3v9q2m8f0abcde.12"
    assert Sent(550, "5.7.1 You are banned (1k3v9q2m8f0abcde)").identifier == "1k3v9q2m8f0abcde"
    assert Sent(421, "4.3.2 Shutting down").identifier == ""


def test_the_test_patterns_are_the_industrys_own() -> None:
    """EICAR's test file has 68 octets; GTUBE's line has 68 too."""
    assert (len(EICAR), len(GTUBE)) == (68, 68)


def test_the_generated_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    for page in (openapi, reference):
        monkeypatch.setattr("sys.argv", ["x", "--check"])
        assert page.main() == 0
        monkeypatch.setattr("sys.argv", ["x", "--check", str(tmp_path / "page")])
        assert page.main() == 1
        monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "page")])
        assert page.main() == 0
        monkeypatch.setattr("sys.argv", ["x", "--check", str(tmp_path / "page")])
        assert page.main() == 0
        (tmp_path / "page").unlink()
