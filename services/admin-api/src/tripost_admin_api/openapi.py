"""Writes `docs/openapi.json`: `python -m tripost_admin_api.openapi`; with `--check` it only compares."""

import argparse
import sys
from pathlib import Path
from typing import Final

from tripost_admin_api.api.application import document_text

PLACE: Final = Path("docs/openapi.json")


def main() -> int:
    """Exit 1 when the file is not what the code says."""
    parser = argparse.ArgumentParser(prog="python -m tripost_admin_api.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when the file is out of date")
    parser.add_argument("place", type=Path, nargs="?", default=PLACE, help="the file (default: %(default)s)")
    arguments = parser.parse_args()
    text = document_text()
    if not arguments.check:
        arguments.place.parent.mkdir(parents=True, exist_ok=True)
        arguments.place.write_text(text)
        return 0
    if arguments.place.is_file() and arguments.place.read_text() == text:
        return 0
    sys.stderr.write(f"{arguments.place} is out of date; write it anew: python -m tripost_admin_api.openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
