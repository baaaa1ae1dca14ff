"""Writes `docs/openapi.json`: `python -m tripost_admin_api.openapi`; with `--check` it only compares."""

import sys
from pathlib import Path
from typing import Final

from tripost_admin_api.api.application import document_text
from tripost_admin_api.generated_page import write_or_compare

PLACE: Final = Path("docs/openapi.json")


def main() -> int:
    """Exit 1 when the file is not what the code says."""
    return write_or_compare("tripost_admin_api.openapi", __doc__, PLACE, document_text())


if __name__ == "__main__":
    sys.exit(main())
