"""`make clean` leaves a checkout as it was cloned, but for its state."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STAYS = {"/var/", "/.env"}  # what is the operator's


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
