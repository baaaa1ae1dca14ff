"""nats-server's configuration in containers is the embedded cluster's, and nats-server takes it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tripost_shared.bus.permissions import SERVICES
from unit.deploy.deployments import ROOT


@pytest.fixture(scope="module")
def renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render_nats_conf", ROOT / "deploy/render_nats_conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_up_to_date(renderer: ModuleType) -> None:
    """If not: .venv/bin/python deploy/render_nats_conf.py"""
    assert [target.read_text() == renderer.render() for target in renderer.TARGETS] == [True, True]


def test_nats_server_accepts_it_with_the_passwords_beside_it(renderer: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text(renderer.render())
    lines = [f'{renderer.variable(service)}: "0123e45{service}"\n' for service in SERVICES]
    (tmp_path / "passwords.conf").write_text("".join(lines))
    done = _nats_server_checks(tmp_path / "nats.conf")
    assert done.returncode == 0, done.stderr


def test_nats_server_refuses_to_start_without_a_password(renderer: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text(renderer.render())
    (tmp_path / "passwords.conf").write_text('EDGE_PASSWORD: "x"\n')
    assert _nats_server_checks(tmp_path / "nats.conf").returncode != 0


def _nats_server_checks(config: Path) -> "subprocess.CompletedProcess[str]":
    binary = Path(sys.prefix) / "bin/nats-server"
    return subprocess.run([binary, "-t", "-c", config], capture_output=True, text=True, timeout=30, check=False)
