"""Writes docs/settings.md, and the list of all settings' names that warns of others, from the settings classes.

With --check it only says whether both are up to date.
"""

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
from tripost_shared.edge_limits import EdgeLimits, SessionLimits
from tripost_shared.hostname import machine_name
from tripost_shared.settings import CommonSettings, DatabaseSettings, Listen

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "settings.md"
NAMES: Final = ROOT / "shared" / "src" / "tripost_shared" / "known_settings.py"
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
[API](reference/api.md). A service that finds a setting it cannot use says so in one line and exits with code 2. A
variable `TRIPOST_…` that is none of these counts for nothing, and is told in a warning with the one that was meant.

Edge's limits are both. Where "Live" stands, the setting is the default of that edge, and what `tripost edge-limit set`
gives that name replaces it in all of them at once, in sessions that are open too; what a listener has for itself
(`tripost listener set LISTENER --limit NAME=VALUE`) replaces that in its own sessions.

Written by `scripts/settings_page.py` from the settings classes; `make docs` writes it anew.
"""
ROW: Final = "| {} | {} | {} | {} |"
# Of the command line, of scripts/setup and of the tests.
NOT_OF_SERVICES: Final = (
    "TRIPOST_API_CA",
    "TRIPOST_API_URL",
    "TRIPOST_PYTHON",
    "TRIPOST_TESTS_NEED_ALL",
    "TRIPOST_TOKEN_FILE",
)
NAMES_TEXT: Final = '''\
"""The name of every environment variable that Tripost reads.

Written by `scripts/settings_page.py` from the settings classes; `make docs` writes it anew.
"""

from typing import Final

KNOWN_SETTINGS: Final = frozenset(
    {{
{}
    }}
)
'''


def page() -> str:
    """Compose the page."""
    return HEAD + "".join(f"\n## {title}\n\n{_table(classes)}" for title, classes in SECTIONS)


def names() -> str:
    """Compose the list of names."""
    fields = [_variable(kind, name) for _, classes in SECTIONS for kind in classes for name in kind.model_fields]
    return NAMES_TEXT.format("\n".join(f'        "{name}",' for name in sorted({*fields, *NOT_OF_SERVICES})))


def _variable(kind: type[BaseSettings], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _table(classes: tuple[type[BaseSettings], ...]) -> str:
    rows = [ROW.format("setting", "what", "default", "accepted"), ROW.format("---", "---", "---", "---")]
    for kind in classes:
        for name, field in kind.model_fields.items():
            cells = (
                f"`{_variable(kind, name)}`",
                _cell(_description(kind, name, field)),
                _default(field),
                _accepted(field),
            )
            rows.append(ROW.format(*cells))
    return "\n".join(rows) + "\n"


def _description(kind: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """Give what a setting is, and by which name something replaces it while the cluster runs."""
    live = ""
    if issubclass(kind, EdgeLimits) and name in EdgeLimits.model_fields:
        place = " or for one listener" if name in SessionLimits.model_fields else ""
        live = f" Live: `{name}`, for all listeners{place}."
    return (field.description or "") + live


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.default_factory is machine_name:
        return "the machine's own name"
    if field.default_factory is socket.gethostname:
        return "the machine's host name"
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
    """Write both, or compare them."""
    for target, wanted in ((PAGE, page()), (NAMES, names())):
        if "--check" not in sys.argv[1:]:
            target.write_text(wanted)
        elif not target.exists() or target.read_text() != wanted:
            sys.exit(f"{target.relative_to(ROOT)} is not what the settings classes say: run `make docs`.")


if __name__ == "__main__":
    main()
