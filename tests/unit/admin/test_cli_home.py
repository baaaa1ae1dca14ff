"""Where the command line looks for the cluster, and what it says of what it cannot read."""

import errno
import json
import os
import pwd
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
    lay(here / "var")
    assert find({}).home == Path("var")
    assert find({"TRIPOST_HOME": "/srv/mail"}).home == Path("/srv/mail")


def lay(home: Path) -> None:
    """Make a folder as a cluster does, whose address is a stranger's if it was one who made it."""
    for folder in (home, home / "cli", home / "tls"):
        folder.mkdir(mode=0o700)
    (home / "cli" / "config").write_text(json.dumps({"url": "https://127.0.0.1:6666"}))
    (home / "tls" / "admin.crt").write_text("certificate")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout that the command is from; what it has is not in the current folder."""
    checkout, here = tmp_path / "checkout", tmp_path / "here"
    for folder in (checkout, here):
        folder.mkdir()
    monkeypatch.setattr("sys.prefix", str(checkout / ".venv"))
    monkeypatch.chdir(here)
    return checkout


@pytest.mark.parametrize("writable", ["var", "var/cli"])
def test_a_folder_here_that_others_may_write_gets_no_token(
    checkout: Path, writable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even one that is named: it would go to the address that others have written."""
    lay(Path("var"))
    Path(writable).chmod(0o777)
    place = find({"TRIPOST_TOKEN_FILE": "/srv/token"})
    assert (place.url, place.ca, place.home) == (DEFAULT_URL, None, checkout / "var")
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"./{writable} is writable by others than its owner, so ./var is passed over.")
    assert f"TRIPOST_HOME={tmp_path}/here/var" in said


def test_a_folder_that_is_named_is_taken_as_it_is(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(Path("var"))
    Path("var").chmod(0o777)
    assert find({"TRIPOST_HOME": "var"}).url == "https://127.0.0.1:6666"
    assert not capsys.readouterr().err
    assert not (checkout / "var").exists()


@pytest.mark.usefixtures("checkout")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["var", "var/cli"])
def test_a_folder_here_of_another_user_is_passed_over(whose: str, capsys: pytest.CaptureFixture[str]) -> None:
    lay(Path("var"))
    os.chown(whose, pwd.getpwnam("daemon").pw_uid, 0)
    assert find({}).url == DEFAULT_URL
    assert capsys.readouterr().err.startswith(f"./{whose} belongs to user daemon, so ./var is passed over.")


@pytest.mark.usefixtures("checkout")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_link_of_another_user_is_passed_over(tmp_path: Path) -> None:
    lay(tmp_path / "good")
    Path("var").symlink_to(tmp_path / "good")
    assert find({}).home == Path("var")
    os.chown("var", pwd.getpwnam("daemon").pw_uid, 0, follow_symlinks=False)
    assert find({}).url == DEFAULT_URL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_folder_of_the_user_who_has_the_checkouts_state_is_taken(checkout: Path) -> None:
    """As root starts clusters, their state belongs to the user whom the services become."""
    lay(Path("var"))
    lay(checkout / "var")
    for folder in (Path("var"), checkout / "var"):
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, 0)
    assert find({}).home == Path("var")


def test_the_checkouts_own_state_is_not_passed_over_in_its_own_folder(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(checkout)
    lay(Path("var"))
    Path("var").chmod(0o770)
    assert find({}).url == "https://127.0.0.1:6666"
    assert not capsys.readouterr().err


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
