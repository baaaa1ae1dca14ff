"""What git ignores; `make clean` leaves a checkout as it was cloned, but for its state."""

import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STAYS = {"/var/", "/.env", "/deploy/k8s/overlays/*/secrets/"}  # what is the operator's


def test_secrets_of_any_overlay_are_ignored_however_it_was_copied() -> None:
    patterns = (ROOT / ".gitignore").read_text().split()
    assert any(fnmatchcase("/deploy/k8s/overlays/mine/secrets/", pattern) for pattern in patterns)
    assert not any(fnmatchcase("/deploy/k8s/overlays/mine/kustomization.yaml", pattern) for pattern in patterns)


def test_all_that_git_ignores_is_removed_but_for_state_and_settings(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    made = [tmp_path / "shared/src/kept.py", tmp_path / "var/mail/__pycache__/kept", tmp_path / ".env"]
    ignored = (ROOT / ".gitignore").read_text().split()
    for pattern in set(ignored) - STAYS:
        folder = pattern.replace("*", "some")
        above = tmp_path if pattern.startswith(("/", ".")) else tmp_path / "shared/src"
        made.append(above / folder.strip("/") / "file")
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert [file for file in made if file.exists()] == made[:3]
