"""Writes nats-server's configuration for docker-compose and Kubernetes: `.venv/bin/python deploy/render_nats_conf.py`.

Made from the same table and the same function as the embedded cluster's, so that the three cannot drift. The passwords
are variables here; `passwords.conf` beside it, which is never committed, gives them their values.
"""

import json
from pathlib import Path
from typing import Final

from tripost_embedded.nats_config import nats_config
from tripost_shared.bus.permissions import SERVICES, permissions

DEPLOY: Final = Path(__file__).resolve().parent
TARGETS: Final = (DEPLOY / "compose/nats.conf", DEPLOY / "k8s/base/nats.conf")
STORE: Final = Path("/data")
PORT: Final = 4222

HEAD: Final = """\
# nats-server for Tripost: one user for each service, allowed just its subjects. Written by deploy/render_nats_conf.py.
include ./passwords.conf
"""


def variable(service: str) -> str:
    """Give the name under which passwords.conf holds a service's password: `ADMIN_API_PASSWORD`."""
    return f"{service.upper().replace('-', '_')}_PASSWORD"


def render() -> str:
    """Compose the file: the embedded cluster's settings, with what a container needs otherwise."""
    passwords = {service: f"${variable(service)}" for service in SERVICES}
    settings = json.loads(nats_config(PORT, STORE, passwords, permissions()))
    settings |= {"server_name": "tripost", "listen": f"0.0.0.0:{PORT}", "http": "127.0.0.1:8222"}
    lines = json.dumps(settings, indent=2).splitlines()[1:-1]  # without the outer braces, so that `include` is possible
    text = "\n".join(line.removeprefix("  ") for line in lines)
    for quoted in passwords.values():
        text = text.replace(f'"{quoted}"', quoted)  # in quotes it would be the password itself
    return f"{HEAD}{text}\n"


if __name__ == "__main__":
    for target in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render())
