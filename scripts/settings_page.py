"""Writes docs/settings.md from the settings classes; with --check it only says whether the page is up to date."""

import math
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from tripost_admin_api.settings import AdminSettings
from tripost_domains.delivery.settings import DeliverySettings
from tripost_domains.settings import DomainsSettings
from tripost_edge.settings import EdgeSettings
from tripost_embedded.settings import ClusterSettings
from tripost_filter.settings import FilterSettings
from tripost_shared.settings import CommonSettings, DatabaseSettings, Listen

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
SECTIONS: Final[tuple[tuple[str, tuple[type[BaseSettings], ...]], ...]] = (
    ("All services", (CommonSettings,)),
    ("Database (domains and admin-api only)", (DatabaseSettings,)),
    ("edge", (EdgeSettings,)),
    ("filter", (FilterSettings,)),
    ("domains", (DomainsSettings, DeliverySettings)),
    ("admin-api", (AdminSettings,)),
    ("The embedded cluster (`make run`)", (ClusterSettings,)),
)
HEAD: Final = """\
# Settings

Settings are environment variables that a service reads at its start. What an administrator changes while the cluster
runs (domains, routes, policies) is configuration and is not here: see the [command line](reference/cli.md) and the
[API](reference/api.md). A service that finds a setting it cannot use says so in one line and exits with code 2.

Written by `scripts/settings_page.py` from the settings classes; `make docs` writes it anew.
"""
ROW: Final = "| {} | {} | {} | {} |"


def page() -> str:
    """Compose the page."""
    return HEAD + "".join(f"\n## {title}\n\n{_table(classes)}" for title, classes in SECTIONS)


def _table(classes: tuple[type[BaseSettings], ...]) -> str:
    rows = [ROW.format("setting", "what", "default", "accepted"), ROW.format("---", "---", "---", "---")]
    for kind in classes:
        for name, field in kind.model_fields.items():
            variable = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
            rows.append(ROW.format(f"`{variable}`", _cell(field.description or ""), _default(field), _accepted(field)))
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.default_factory is socket.getfqdn:
        return "the machine's own name"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, list):
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in {None, ""} else "empty"


def _accepted(field: FieldInfo) -> str:
    kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
    if any(get_origin(kind) is Literal for kind in kinds):
        return ", ".join(f"`{choice}`" for kind in kinds for choice in get_args(kind))
    words = " or ".join(_word(kind) for kind in kinds)
    return f"{words}{_range(field)}" + (", or empty" if type(None) in _kinds(field.annotation) else "")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)


def _word(kind: Any) -> str:
    words = {
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        str: "text",
        Path: "path",
        Listen: "`address:port`",
        SecretStr: "text (secret)",
    }
    return words.get(kind, "list, separated by commas")


def _range(field: FieldInfo) -> str:
    low, high = "", ""
    for bound, text in _bounds(field):
        if isinstance(bound, (annotated_types.Ge, annotated_types.Gt)):
            low = text
        else:
            high = text
    if low and high and "over" not in low:
        return f", {low.removeprefix('from ')} to {high.removeprefix('up to ')}"
    return "".join(f", {text}" for text in (low, high) if text)


def _bounds(field: FieldInfo) -> Iterator[tuple[annotated_types.BaseMetadata, str]]:
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge):
                yield bound, f"from {_number(ge)}"
            case annotated_types.Gt(gt):
                yield bound, f"over {_number(gt)}"
            case annotated_types.Le(le):
                yield bound, f"up to {_number(le)}"
            case annotated_types.Lt(lt):
                yield bound, f"under {_number(lt)}"


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, (int, float)) and math.isclose(value, int(value)) else str(value)


def main() -> None:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        sys.exit("docs/settings.md is not what the settings classes say: run `make docs`.")


if __name__ == "__main__":
    main()
