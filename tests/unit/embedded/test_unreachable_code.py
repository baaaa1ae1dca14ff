"""A service whose code its user cannot reach runs nevertheless (started as root)."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tripost_embedded import launch
from tripost_embedded.code import Code, find_code
from tripost_embedded.home import make_folders, open_home
from tripost_shared.privileges import RunUser, acting_as, first_closed_folder
from tripost_shared.settings import SettingsError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
NOBODY = RunUser.named("nobody")
DAEMON = pwd.getpwnam("daemon").pw_uid
# Gives root up, then imports a module it has not loaded yet and reads a file beside it.
SERVICE = """
import os, sys
import tripost_sample
from tripost_shared.privileges import give_up_root
give_up_root("nobody")
from tripost_sample import late
import encodings.idna
pid = os.fork()
if pid == 0:
    from tripost_sample import later_still
    print("forked:", later_still.__name__, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(os.getuid(), late.beside(), flush=True)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="tripost-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def private_home(open_folder: Path) -> Path:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def service(private_home: Path) -> Path:
    package = private_home / "src" / "tripost_sample"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "later_still.py").write_text("")
    (package / "late.py").write_text(
        "from pathlib import Path\ndef beside(): return (Path(__file__).parent / 'words.txt').read_text()\n"
    )
    (package / "words.txt").write_text("read late")
    script = private_home / "tripost-sample"
    script.write_text(SERVICE)
    return script


def run(*command: str, source: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": str(source)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_code_is_imported_and_read_after_root_is_given_up(service: Path) -> None:
    ran = run(sys.executable, "-P", launch.__file__, str(service), source=service.parent / "src")
    assert ran.stdout.splitlines() == ["forked: tripost_sample.later_still", f"{NOBODY.uid} read late"], ran.stderr


def test_without_the_launcher_it_would_not_be(service: Path) -> None:
    assert "ImportError" in run(sys.executable, str(service), source=service.parent / "src").stderr


def test_the_folder_that_is_closed_is_named(private_home: Path) -> None:
    assert first_closed_folder(private_home / "clone" / "var", NOBODY) == private_home
    assert first_closed_folder(private_home, NOBODY) is None


def test_code_in_reach_is_run_in_place(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(open_folder)])
    code = find_code(NOBODY, open_folder / "root")
    assert code == Code(Path(sys.prefix) / "bin")
    assert code.command("tripost-edge") == [str(Path(sys.prefix) / "bin" / "tripost-edge")]


def test_our_sources_behind_a_closed_folder_are_copied_for_all_to_read(
    service: Path, private_home: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = service.parent / "src"
    for path in (source, *source.rglob("*")):  # as a closed umask leaves them
        path.chmod(0o700 if path.is_dir() else 0o600)
    monkeypatch.setattr(sys, "path", [str(source)])
    code = find_code(NOBODY, open_folder / "root")
    assert code.closed == private_home
    *_, script, copied = code.command("tripost-sample")
    assert script.endswith("/bin/tripost-sample")
    ran = run(sys.executable, "-P", launch.__file__, str(service), copied, source=source)
    assert ran.stdout.splitlines()[-1] == f"{NOBODY.uid} read late", ran.stderr
    assert Path(copied.partition("=")[2]).stat().st_uid == 0


def test_a_copy_is_made_anew_only_when_its_source_has_changed(
    service: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(service.parent / "src")])
    first = find_code(NOBODY, open_folder / "root").copies
    assert find_code(NOBODY, open_folder / "root").copies == first
    (service.parent / "src" / "tripost_sample" / "words.txt").write_text("read anew")
    [(_, copy)] = find_code(NOBODY, open_folder / "root").copies
    assert (copy / "tripost_sample" / "words.txt").read_text() == "read anew"
    assert not first[0][1].exists()


def test_state_that_the_run_user_cannot_reach_is_made_elsewhere_behind_a_link(
    private_home: Path, open_folder: Path
) -> None:
    home = open_home(private_home / "clone" / "var", NOBODY, open_folder / "root")
    with acting_as(NOBODY):
        make_folders(home)
    assert home.is_elsewhere
    assert home.path.parent == open_folder / "root"
    assert (private_home / "clone" / "var").resolve() == home.path
    assert home.path.stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_that_state_is_found_again(private_home: Path, open_folder: Path) -> None:
    first = open_home(private_home / "var", NOBODY, open_folder / "root")
    assert open_home(private_home / "var", NOBODY, open_folder / "root") == first
    assert first.is_elsewhere


def test_a_used_folder_out_of_reach_is_refused_with_how_to_mend_it(private_home: Path, open_folder: Path) -> None:
    (private_home / "var").mkdir()
    (private_home / "var" / "mail").mkdir()
    with pytest.raises(SettingsError, match=f"chmod o\\+x {private_home}"):
        open_home(private_home / "var", NOBODY, open_folder / "root")


@pytest.fixture(params=["the state", "the code"])
def use_state_root(
    request: pytest.FixtureRequest,
    service: Path,
    private_home: Path,
    open_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], None]:
    """Do what a start does with the state's root, which is `open_folder / "root"`."""
    monkeypatch.setattr(sys, "path", [str(service.parent / "src")])

    def use() -> None:
        if request.param == "the state":
            open_home(private_home / "clone" / "var", NOBODY, open_folder / "root")
        else:
            find_code(NOBODY, open_folder / "root")

    return use


@pytest.mark.parametrize(
    ("owner", "mode", "said"),
    [
        pytest.param(DAEMON, 0o755, "belongs to user daemon", id="a stranger's"),
        pytest.param(NOBODY.uid, 0o755, "belongs to user nobody", id="the run user's"),
        pytest.param(0, 0o777, "is writable by others", id="everybody's"),
    ],
)
def test_a_root_of_the_state_that_is_not_roots_alone_is_refused_with_how_to_mend_it(
    use_state_root: Callable[[], None], open_folder: Path, owner: int, mode: int, said: str
) -> None:
    """Who owns it can put other code there, which would be started as root, or other state."""
    root = open_folder / "root"
    root.mkdir()
    root.chmod(mode)
    os.chown(root, owner, owner)
    with pytest.raises(SettingsError, match=rf"^TRIPOST_CLUSTER_STATE_ROOT: {root} {said}.* chown root: {root}"):
        use_state_root()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "mode", "said"),
    [
        pytest.param(NOBODY.uid, 0o755, "belongs to user nobody", id="the run user's"),
        pytest.param(NOBODY.uid, 0o1755, "belongs to user nobody", id="the run user's with the sticky bit"),
        pytest.param(0, 0o775, "is writable by others", id="a group's"),
    ],
)
def test_a_root_of_the_state_in_a_folder_that_is_not_roots_alone_is_refused(
    use_state_root: Callable[[], None], open_folder: Path, owner: int, mode: int, said: str
) -> None:
    """Who can rename it has other code started as root."""
    open_folder.chmod(mode)
    os.chown(open_folder, owner, owner)
    with pytest.raises(SettingsError, match=rf"^TRIPOST_CLUSTER_STATE_ROOT: {open_folder} {said}"):
        use_state_root()
    assert not (open_folder / "root").exists()


@pytest.mark.parametrize(
    "links",
    [
        pytest.param({"root": "others/state"}, id="it is a link into one"),
        pytest.param({"root": "link/state", "link": "others"}, id="a link on the way leads to one"),
        pytest.param({"root": "others/link/state", "others/link": ".."}, id="a link on the way is in one"),
    ],
)
def test_links_lead_to_no_root_of_the_state_through_a_folder_of_the_run_users(
    use_state_root: Callable[[], None], open_folder: Path, links: dict[str, str]
) -> None:
    others = open_folder / "others"
    others.mkdir()
    os.chown(others, NOBODY.uid, NOBODY.uid)
    for name, target in links.items():
        (open_folder / name).symlink_to(target)
    with pytest.raises(SettingsError, match=rf"^TRIPOST_CLUSTER_STATE_ROOT: {others} belongs to user nobody"):
        use_state_root()
    assert not (open_folder / "root").exists()


def test_a_link_of_others_leads_to_no_root_of_the_state(use_state_root: Callable[[], None], open_folder: Path) -> None:
    root = open_folder / "root"
    root.symlink_to(open_folder / "state")
    os.chown(root, NOBODY.uid, NOBODY.uid, follow_symlinks=False)
    with pytest.raises(SettingsError, match=f"^TRIPOST_CLUSTER_STATE_ROOT: {root} belongs to user nobody"):
        use_state_root()


def test_links_and_folders_of_roots_lead_to_a_root_of_the_state_also_through_one_with_the_sticky_bit(
    use_state_root: Callable[[], None], open_folder: Path
) -> None:
    shared = open_folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "state").mkdir()
    (open_folder / "root").symlink_to("shared/state")
    use_state_root()
    assert list((shared / "state").iterdir()) != []


def test_a_root_of_the_state_that_is_a_file_is_named(use_state_root: Callable[[], None], open_folder: Path) -> None:
    (open_folder / "root").write_text("")
    with pytest.raises(SettingsError, match=f"^TRIPOST_CLUSTER_STATE_ROOT: .*{open_folder}/root"):
        use_state_root()


def test_a_copy_of_our_sources_that_another_has_changed_is_not_run(
    service: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(service.parent / "src")])
    [(_, copy)] = find_code(NOBODY, open_folder / "root").copies
    planted = copy / "tripost_sample" / "late.py"
    os.chown(planted, DAEMON, DAEMON)
    code = open_folder / "root" / "code"
    with pytest.raises(SettingsError, match=f"{planted} belongs to user daemon.* rm -rf {code}"):
        find_code(NOBODY, open_folder / "root")
