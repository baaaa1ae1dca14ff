"""deploy/compose/init makes the secrets of docker-compose, once."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tripost_shared.hostname import check_host_name
from unit.deploy.deployments import ROOT, SERVICES, compose_file

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy/compose").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/compose/init", tmp_path / "deploy/compose/init")
    shutil.copy(ROOT / ".env.example", tmp_path / ".env.example")
    return tmp_path


def init(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "deploy/compose/init", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def contents(checkout: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (checkout / "deploy/compose/secrets").iterdir()}


def test_it_makes_every_secret_that_docker_compose_refers_to(checkout: Path) -> None:
    assert init(checkout, "mail.dest.example").returncode == 0
    named = {checkout / secret["file"] for secret in compose_file()["secrets"].values()}
    assert set((checkout / "deploy/compose/secrets").iterdir()) == named
    assert all(contents(checkout).values())
    assert "TRIPOST_HOSTNAME=mail.dest.example\n" in (checkout / ".env").read_text()


def test_other_users_of_the_host_cannot_get_at_them(checkout: Path) -> None:
    """The folder is closed. The files are not: containers get them one by one and read them as other users."""
    init(checkout, "mail.dest.example")
    assert stat.S_IMODE((checkout / "deploy/compose/secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600


def test_passwords_are_random_and_nats_server_gets_the_same_ones(checkout: Path) -> None:
    init(checkout, "mail.dest.example")
    secrets = contents(checkout)
    passwords = {secrets[f"nats-{service}"].strip() for service in SERVICES}
    assert len(passwords) == len(SERVICES)
    assert all(f'"{password}"' in secrets["nats-passwords.conf"] for password in passwords)
    assert secrets["postgres-password"].strip() in secrets["database-url"]


def test_a_second_run_changes_nothing(checkout: Path) -> None:
    init(checkout, "mail.dest.example")
    before = contents(checkout) | {".env": (checkout / ".env").read_text()}
    assert init(checkout, "other.example").returncode == 0
    assert contents(checkout) | {".env": (checkout / ".env").read_text()} == before


def test_a_password_that_was_deleted_is_made_anew_everywhere(checkout: Path) -> None:
    init(checkout, "mail.dest.example")
    before = contents(checkout)
    (checkout / "deploy/compose/secrets/nats-edge").unlink()
    init(checkout)
    after = contents(checkout)
    assert after["nats-edge"] != before["nats-edge"]
    assert after["nats-edge"].strip() in after["nats-passwords.conf"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "-rf",
            "a b",
            "mail.example/../x",
            "$(id)",
            "a..b",
            "mail.example.",
            ".mail",
            "mail-.example",
            "mail.-example",
        ),
        *("192.0.2.1", "müller.example", f"{'a' * 64}.example", ".".join(["a" * 63] * 4)),
    ],
)
def test_what_the_services_take_for_no_host_name_is_refused(checkout: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"host name|ASCII"):
        check_host_name(name)
    assert init(checkout, name).returncode == 1
    assert not (checkout / ".env").exists()


@pytest.mark.parametrize("name", ["m", "mail.dest.example", "xn--mller-kva.example", "a-1.B-2.example", "a" * 63])
def test_what_they_take_is_taken(checkout: Path, name: str) -> None:
    assert init(checkout, check_host_name(name)).returncode == 0
    assert f"TRIPOST_HOSTNAME={name}\n" in (checkout / ".env").read_text()
