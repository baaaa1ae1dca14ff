"""`python -m bench.edge --quick` measures edge, and the other servers where they are installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench.edge.conversation import complete_replies, prepared, source_address
from bench.edge.haraka import configure, program
from bench.system import ROOT, BenchError


def test_a_quick_run_yields_numbers_for_what_is_installed(tmp_path: Path) -> None:
    """Here it is not asked for aiosmtpd, whose start alone takes a second."""
    numbers = tmp_path / "numbers.json"
    asked = ["--quick", "--servers", "edge", "smtp-sink", "Haraka", "--haraka", str(tmp_path / "nowhere")]
    done = subprocess.run(
        [sys.executable, "-m", "bench.edge", *asked, "--json", str(numbers)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(numbers.read_text())
    measured = {"edge"} | ({"smtp-sink"} if _has_smtp_sink() else set())
    assert set(found["left_out"]) == {"edge", "smtp-sink", "Haraka"} - measured
    assert "Haraka is left out: it is not installed" in done.stdout

    loads = {(one["size_octets"], one["messages_per_session"] > 1, one["tls"]): one["servers"] for one in _costs(found)}
    assert set(loads) == {
        (size, many, tls) for size in (4096, 1 << 20) for many in (False, True) for tls in (False, True)
    }
    assert all(set(servers) == (measured if not tls else {"edge"}) for (_, _, tls), servers in loads.items())
    one_in_a_session, many = loads[4096, False, False]["edge"], loads[4096, True, False]["edge"]
    assert 20 < many[0] < one_in_a_session[0] < 20_000
    assert [one["sessions"] for one in found["idle_sessions"] if one["server"] == "edge"] == [50, 50]
    assert found["open_sessions"]["messages"] == 100
    assert found["new_session_p99"][0]["unloaded_ms"] > 0


def _has_smtp_sink() -> bool:
    return shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin:/usr/bin") is not None


def _costs(found: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
    return found["cpu_microseconds_per_message"]


def test_only_the_last_line_of_a_reply_counts_and_only_once_it_is_whole() -> None:
    assert complete_replies(b"250-first\r\n250 last\r\n354 go on\r") == [b"250 last"]
    assert complete_replies(b"250 one\r\n250 two\r\n") == [b"250 one", b"250 two"]


def test_a_prepared_message_ends_with_the_dot_and_holds_no_other() -> None:
    content = prepared(4096)
    assert len(content) == 4096 + 3
    assert content.endswith(b"\r\n.\r\n")
    assert content.count(b"\r\n.") == 1


def test_sources_are_loopback_addresses_of_a_hundred_sessions_each() -> None:
    sources = [source_address(number) for number in range(5000)]
    assert len(set(sources)) == 50
    assert all(source.startswith("127.0.") for source in sources)
    assert "127.0.1.0" not in sources


def test_haraka_is_configured_to_take_all_mail_and_to_ask_no_name_server(tmp_path: Path) -> None:
    folder = configure(tmp_path / "haraka", 2525, tmp_path / "certificate", tmp_path / "key")
    assert "listen=127.0.0.1:2525" in (folder / "config/smtp.ini").read_text()
    assert f"cert={tmp_path}/certificate" in (folder / "config/tls.ini").read_text()
    assert "hook_lookup_rdns" in (folder / "plugins/forget.js").read_text()
    with pytest.raises(BenchError, match="npm install"):
        program(tmp_path)
