"""Where the command line looks for the cluster, and what it says of what it cannot read."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tripost_admin_api.cli.client import Client
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.home import DEFAULT_URL, find, read_token


def written(home: Path, **config: str) -> Path:
    (home / "cli").mkdir(parents=True)
    (home / "cli" / "config").write_text(json.dumps(config))
    return home


def test_the_url_comes_from_the_nearest_place_that_names_one(tmp_path: Path) -> None:
    home = written(tmp_path / "var", url="https://127.0.0.1:9443", ca="")
    variables = {"TRIPOST_HOME": str(home), "TRIPOST_ADMIN_LISTEN": "127.0.0.1:7443"}
    assert find(variables).url == "https://127.0.0.1:9443"
    assert find({**variables, "TRIPOST_API_URL": "https://b.example/"}).url == "https://b.example"
    assert find({**variables, "TRIPOST_API_URL": "https://b.example"}, "https://a.example").url == "https://a.example"
    bare = {"TRIPOST_HOME": str(tmp_path)}
    assert find(bare).url == DEFAULT_URL
    assert find({**bare, "TRIPOST_ADMIN_LISTEN": "127.0.0.1:7443"}).url == "https://127.0.0.1:7443"


def test_a_config_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    for text in ("{", "[]", ""):
        (tmp_path / "cli").mkdir(exist_ok=True)
        (tmp_path / "cli" / "config").write_text(text)
        assert find({"TRIPOST_HOME": str(tmp_path)}).url == DEFAULT_URL


def test_the_clusters_own_certificate_is_pinned_unless_it_has_one_of_a_ca(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "admin.crt").write_text("certificate")
    variables = {"TRIPOST_HOME": str(tmp_path)}
    assert find(variables).ca == tmp_path / "tls" / "admin.crt"
    assert find({**variables, "TRIPOST_API_CA": "/etc/ca.pem"}).ca == Path("/etc/ca.pem")
    assert find({**variables, "TRIPOST_API_CA": ""}).ca is None
    written(tmp_path, url="https://mail.example", ca="")
    assert find(variables).ca is None


def test_the_folder_of_the_state_is_the_one_here_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, here = tmp_path / "checkout", tmp_path / "here"
    (checkout / "var").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setattr("sys.prefix", str(checkout / ".venv"))
    monkeypatch.chdir(here)
    assert find({}).home == checkout / "var"
    (here / "var" / "cli").mkdir(parents=True)
    assert find({}).home == Path("var")
    assert find({"TRIPOST_HOME": "/srv/mail"}).home == Path("/srv/mail")


def test_a_token_that_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="TRIPOST_HOME") as caught:
        read_token(find({"TRIPOST_HOME": str(tmp_path)}))
    assert caught.value.code is ExitCode.NOT_AUTHORISED
    file = tmp_path / "mine"
    file.write_text("tripost_x\n")
    assert read_token(find({"TRIPOST_HOME": str(tmp_path), "TRIPOST_TOKEN_FILE": str(file)})) == "tripost_x"


def test_a_folder_of_another_user_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one who is not root meets the folder of a cluster that root has started: it is closed to others."""

    def closed(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for look in ("stat", "open"):
        monkeypatch.setattr(Path, look, closed)
    with pytest.raises(
        CommandFailed, match=r"srv/mail/cli/token cannot be read: Permission denied\. Run .* root"
    ) as no:
        Client(find({"TRIPOST_HOME": "/srv/mail"}))
    assert no.value.code is ExitCode.NOT_AUTHORISED
