"""How the command line says no: an exit code, one line on standard error, and nothing that is secret."""

import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from admin_service import RunningAdmin, invoke
from servers import free_port
from tripost_shared.certificates import make_self_signed


@pytest.mark.parametrize(
    "arguments",
    [["domain", "add"], ["domain", "list", "-o", "xml"], ["nonsense"], ["domain", "add", "not a domain"]],
    ids=["nothing given", "no such form", "no such command", "a name that is none"],
)
def test_wrong_arguments_end_with_2(admin: RunningAdmin, arguments: list[str]) -> None:
    result = admin.quick_cli(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["policy", "set", "--reject-score", "nan"], "from -1000 to 1000", id="nan"),
        pytest.param(["policy", "set", "--tag-score=-inf"], "from -1000 to 1000", id="minus infinity"),
        pytest.param(["policy", "set", "--reject-score", "1e999"], "from -1000 to 1000", id="too large a number"),
        pytest.param(["policy", "check", "spf", "--error-score", "inf"], "from -1000 to 1000", id="infinity"),
        pytest.param(["policy", "dnsbl", "add", "bl.example", "--score", "nan"], "from -1000 to 1000", id="nan, score"),
        pytest.param(
            ["policy", "check", "spff", "--disable"], "accepted: patterns, dnsbl, reverse_dns, spf", id="no such check"
        ),
        pytest.param(["policy", "check", "spf", "--default", "--disable"], "goes alone", id="default and more"),
        pytest.param(["policy", "greylist", "--delay", "9" * 30], "accepted is 86400 or less", id="too long a delay"),
        pytest.param(["policy", "greylist", "--delay", "-1"], "accepted is 0 or more", id="negative delay"),
        pytest.param(["policy", "dnsbl", "remove", "x y"], "no domain name", id="no zone"),
        pytest.param(["policy", "exempt", "remove", "here"], "no network", id="no network"),
        pytest.param(["token", "add", "x", "--days", "9" * 12], "36500", id="too many days"),
        pytest.param(["token", "add", "X Y"], "accepted are 1 to 64", id="no token's name"),
        pytest.param(
            ["mailbox", "add", "user@local.test", "--password-stdin", "--no-password"], "exclude each other", id="both"
        ),
        pytest.param(["message", "list", "--client", "bogus"], "no IP address", id="no client"),
        pytest.param(["message", "list", "--since", "nonsense"], "a date or a time", id="no time"),
        pytest.param(["message", "list", "--status", "lost"], "'delivered'", id="no status"),
        pytest.param(["message", "list", "--direction", "up"], "'inbound'", id="no direction"),
        pytest.param(["queue", "list", "--state", "lost"], "'held'", id="no state"),
        pytest.param(["queue", "list", "--sender", "bogus"], "no mail address", id="no sender"),
        pytest.param(["queue", "drop"], "Name messages by their ids; tripost queue list", id="drop what"),
        pytest.param(
            ["mailbox", "list", "--domain", "foreign.example"], "not one of your domains", id="foreign domain"
        ),
        pytest.param(["demo", "--mx", "bad"], "accepted is one like 127.0.0.1:2525", id="no address"),
        pytest.param(["demo", "--mx", "127.0.0.1:99999"], "accepted is one like 127.0.0.1:2525", id="no port"),
        pytest.param(["demo", "--submission", "127.0.0.1"], "accepted is one like 127.0.0.1:2525", id="port missing"),
        pytest.param(["--url", "foo", "domain", "list"], "accepted is one like https://", id="no URL"),
        pytest.param(["domain", "list", "--url"], "requires an argument", id="an option without its value"),
        pytest.param(["domain", "add", "\udcff"], "no UTF-8", id="octets that are no text"),
        pytest.param(["domain", "lisst"], "Did you mean 'list'?", id="a command mistyped"),
    ],
)
def test_what_is_refused_is_told_in_one_line_with_what_is_accepted(
    admin: RunningAdmin, arguments: list[str], told: str
) -> None:
    result = admin.quick_cli(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("tripost: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


def test_an_alias_in_the_way_is_not_taken_for_the_mailbox_that_is_wanted(admin: RunningAdmin) -> None:
    admin.quick_cli("domain", "add", "local.test")
    admin.quick_cli("alias", "add", "info@local.test", "x@far.example")
    refused = admin.quick_cli("mailbox", "add", "info@local.test", "--no-password", "--if-missing")
    assert (refused.returncode, "there is an alias" in refused.stderr) == (2, True)


def test_a_result_that_cannot_be_written_is_said(admin: RunningAdmin) -> None:
    with Path("/dev/full").open("w") as full:
        script = "from tripost_admin_api.cli.main import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", script, "domain", "list", "-o", "json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={"TRIPOST_HOME": str(admin.home)},
        )
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert ended.stderr.startswith("tripost: ")


def test_a_cluster_that_is_not_there_is_said_with_what_to_do(admin: RunningAdmin, tmp_path: Path) -> None:
    nobody = invoke("--url", f"https://127.0.0.1:{free_port()}", "domain", "list", TRIPOST_HOME=str(admin.home))
    assert (nobody.returncode, "make run" in nobody.stderr) == (5, True)
    no_token = invoke("domain", "list", TRIPOST_HOME=str(tmp_path))
    assert (no_token.returncode, "TRIPOST_HOME" in no_token.stderr) == (6, True)


def test_only_the_clusters_own_certificate_is_trusted(admin: RunningAdmin, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"

    make_self_signed(other, tmp_path / "other.key", ["127.0.0.1"])
    result = invoke("domain", "list", TRIPOST_HOME=str(admin.home), TRIPOST_API_CA=str(other))
    assert (result.returncode, "not trusted" in result.stderr) == (5, True)
    result = invoke("domain", "list", TRIPOST_HOME=str(admin.home), TRIPOST_API_CA="")
    assert result.returncode == 5


def test_a_server_that_is_not_tripost_is_told_apart(admin: RunningAdmin, tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        status = 502
        media_type = "text/html"

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.send_header("Content-Type", self.media_type)
            self.end_headers()
            self.wfile.write(b"<html>Bad gateway</html>" if self.media_type == "text/html" else b"overloaded\nat x")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(admin.home / "tls" / "admin.crt", admin.home / "tls" / "admin.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    results = []
    for status, media_type in ((502, "text/html"), (200, "text/html"), (503, "text/plain; charset=utf-8")):
        Other.status, Other.media_type = status, media_type
        url = f"https://127.0.0.1:{server.server_port}"
        results.append((status, invoke("domain", "list", "--url", url, TRIPOST_HOME=str(admin.home))))
    server.shutdown()
    thread.join()
    server.server_close()
    overloaded = results.pop()[1]
    assert overloaded.returncode == 5
    assert overloaded.stderr.endswith(
        "answered 503 Service Unavailable, but not as Tripost does. It says: overloaded\n"
    )
    for status, result in results:
        assert (result.returncode, str(status) in result.stderr, "<html>" in result.stderr) == (1, True, False)
        assert "not as Tripost does" in result.stderr
