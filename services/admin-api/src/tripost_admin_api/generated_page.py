"""Pages of the documentation that are made from the code: written anew, or compared with what is there."""

import argparse
import sys
from pathlib import Path


def write_or_compare(module: str, description: str | None, place: Path, text: str) -> int:
    """Be the command `python -m <module> [--check] [place]`; gives 1 when the page is not what the code says."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when the page is out of date")
    parser.add_argument("place", type=Path, nargs="?", default=place, help="the file (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.check:
        arguments.place.parent.mkdir(parents=True, exist_ok=True)
        arguments.place.write_text(text)
        return 0
    if arguments.place.is_file() and arguments.place.read_text() == text:
        return 0
    sys.stderr.write(f"{arguments.place} is out of date; write it anew: python -m {module}\n")
    return 1
