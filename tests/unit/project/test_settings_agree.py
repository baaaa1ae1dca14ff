"""What the embedded cluster knows of the services' settings is what the services say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tripost_admin_api.settings import AdminSettings
from tripost_domains.settings import DomainsSettings
from tripost_edge.settings import EdgeSettings
from tripost_embedded import ports
from tripost_embedded.environment import OWN_PREFIX
from tripost_filter.settings import FilterSettings
from tripost_shared.known_settings import KNOWN_SETTINGS

ROOT = Path(__file__).resolve().parents[3]
CLASSES: dict[str, type[BaseSettings]] = {
    "edge": EdgeSettings,
    "filter": FilterSettings,
    "domains": DomainsSettings,
    "admin-api": AdminSettings,
}


@pytest.mark.parametrize("listener", [*ports.FOR_CLIENTS, *ports.FOR_HEALTH], ids=lambda listener: listener.variable)
def test_listeners_have_the_services_names_and_defaults(listener: ports.Listener) -> None:
    kind = CLASSES[listener.service]
    prefix = kind.model_config["env_prefix"]
    name = listener.variable.removeprefix(prefix).lower()
    assert (kind.model_fields[name].default or "") == listener.default


def test_every_listener_of_a_service_is_known() -> None:
    said = {
        f"{kind.model_config['env_prefix']}{name}".upper()
        for kind in CLASSES.values()
        for name in kind.model_fields
        if name.endswith(("listen", "listener"))
    }
    assert said == {listener.variable for listener in (*ports.FOR_CLIENTS, *ports.FOR_HEALTH)}


def test_each_service_has_its_own_prefix() -> None:
    assert {name: kind.model_config["env_prefix"] for name, kind in CLASSES.items()} == dict(OWN_PREFIX)


def test_the_pages_and_the_list_of_names_are_what_the_classes_say() -> None:
    """If not: `make docs`."""
    script = ROOT / "scripts" / "settings_page.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_that_is_written_about_exists() -> None:
    """Names that end in `_` are prefixes; an `…` or `<` follows them."""
    folders = ("docs", "deploy", "scripts", "services", "shared", "bench")
    pages = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".md", ".py", ".yaml"}
    ]
    single = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker-compose.yml", ".env.example", ".ci/run")]
    written = {name for page in (*pages, *single) for name in re.findall(r"\bTRIPOST_[A-Z_]*[A-Z]\b", page.read_text())}
    assert written - KNOWN_SETTINGS == set()
