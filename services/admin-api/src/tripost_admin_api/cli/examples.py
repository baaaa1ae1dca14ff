"""An example for every command, shown by `--help` and in docs/reference/cli.md."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

import typer

EXAMPLES: Final = MappingProxyType(
    {
        "status": "status",
        "demo": "demo",
        "domain list": "domain list -o json",
        "domain add": "domain add local.test",
        "domain show": "domain show local.test",
        "domain set": "domain set local.test --mechanism SCRAM-SHA-256 --mechanism PLAIN",
        "domain remove": "domain remove local.test --with-contents",
        "mailbox list": "mailbox list --domain local.test",
        "mailbox add": "mailbox add user@local.test --password-stdin < password",
        "mailbox show": "mailbox show user@local.test",
        "mailbox passwd": "mailbox passwd user@local.test",
        "mailbox app-password list": "mailbox app-password list user@local.test",
        "mailbox app-password add": "mailbox app-password add user@local.test phone --days 90",
        "mailbox app-password show": "mailbox app-password show user@local.test phone",
        "mailbox app-password remove": "mailbox app-password remove user@local.test phone",
        "mailbox enable": "mailbox enable user@local.test",
        "mailbox disable": "mailbox disable user@local.test",
        "mailbox remove": "mailbox remove user@local.test",
        "alias list": "alias list --domain local.test",
        "alias add": "alias add info@local.test user@local.test boss@other.example",
        "alias show": "alias show info@local.test",
        "alias set": "alias set '*@local.test' user@local.test",
        "alias remove": "alias remove info@local.test",
        "grant list": "grant list user@local.test",
        "grant add": "grant add user@local.test @other.example",
        "grant show": "grant show user@local.test @other.example",
        "grant remove": "grant remove user@local.test @other.example",
        "route list": "route list",
        "route add": "route add example.org --host smtp.example.org --port 587 --tls encrypt",
        "route show": "route show .example.org",
        "route set": "route set '*' --host smarthost.example",
        "route remove": "route remove example.org",
        "relay-network list": "relay-network list",
        "relay-network add": "relay-network add 192.0.2.0/24",
        "relay-network show": "relay-network show 192.0.2.0/24",
        "relay-network remove": "relay-network remove 192.0.2.0/24",
        "xclient-network list": "xclient-network list",
        "xclient-network add": "xclient-network add 192.0.2.25/32",
        "xclient-network show": "xclient-network show 192.0.2.25/32",
        "xclient-network remove": "xclient-network remove 192.0.2.25/32",
        "author-check show": "author-check show",
        "author-check on": "author-check on",
        "author-check off": "author-check off",
        "access list": "access list",
        "access add": "access add partner allow --name .partner.example --before strangers",
        "access show": "access show partner",
        "access set": "access set partner --network 192.0.2.0/24 --clear names",
        "access move": "access move partner --position 1",
        "access remove": "access remove partner",
        "access explain": "access explain 192.0.2.7 --listener mx --helo mail.example.org",
        "queue list": "queue list --state deferred --domain example.org",
        "queue show": "queue show 1k3v9q2m8f0abcde.1",
        "queue retry": "queue retry --all",
        "queue hold": "queue hold 1k3v9q2m8f0abcde.1 --recipient user@example.org",
        "queue release": "queue release 1k3v9q2m8f0abcde.1",
        "queue drop": "queue drop 1k3v9q2m8f0abcde.1",
        "message list": "message list --recipient @local.test --status refused --since 2026-01-31",
        "message trace": "message trace 1k3v9q2m8f0abcde.1",
        "message show": "message show 1k3v9q2m8f0abcde.1 -o json",
        "policy show": "policy show",
        "policy mode": "policy mode monitor",
        "policy set": "policy set --reject-score 15 --tag-score 6",
        "policy greylist": "policy greylist --enable --delay 300",
        "policy check": "policy check spf --on-error tempfail --budget 2000",
        "policy dnsbl list": "policy dnsbl list",
        "policy dnsbl add": "policy dnsbl add zen.example --score 4 --no-refuse",
        "policy dnsbl remove": "policy dnsbl remove zen.example",
        "policy exempt list": "policy exempt list",
        "policy exempt add": "policy exempt add 192.0.2.0/24",
        "policy exempt remove": "policy exempt remove 192.0.2.0/24",
        "ban list": "ban list",
        "ban add": "ban add 192.0.2.7 --for 12h --reason 'spam to our users'",
        "ban show": "ban show 192.0.2.7",
        "ban lift": "ban lift 192.0.2.7",
        "ban policy": "ban policy authentication --threshold 10 --window 1h --for 6h",
        "rule list": "rule list",
        "rule add": "rule add no-bulk deny --reverse-path @bulk.example --text 'No bulk mail, please'",
        "rule show": "rule show no-bulk",
        "rule set": "rule set no-bulk --reverse-path @bulk.example --reverse-path .bulk.example",
        "rule move": "rule move no-bulk --position 1",
        "rule enable": "rule enable no-bulk",
        "rule disable": "rule disable no-bulk",
        "rule remove": "rule remove no-bulk",
        "limit list": "limit list",
        "limit show": "limit show login:user@local.test",
        "limit add": "limit add submitters --per login --messages 100/hour --recipients 1000/day",
        "limit set": "limit set submitters --for news@local.test --messages 5000/day",
        "limit remove": "limit remove submitters --for news@local.test",
        "listener list": "listener list",
        "listener show": "listener show mx",
        "listener add": "listener add inside --address 192.0.2.1:25 --kind internal",
        "listener set": "listener set mx --tls-minimum 1.3 --limit errors_per_session=10",
        "listener remove": "listener remove inside",
        "edge-limit show": "edge-limit show",
        "edge-limit set": "edge-limit set errors_per_session=10 size_limit_octets=33554432",
        "edge-limit reset": "edge-limit reset errors_per_session",
        "token list": "token list",
        "token add": "token add backup-job --scope read --days 90",
        "token show": "token show backup-job",
        "token remove": "token remove backup-job",
        "admin password": "admin password --operator admin",
    }
)


def show_examples(app: typer.Typer) -> None:
    """Put each command's example under its help."""
    for name, command in _commands(app, ""):
        command.epilog = f"Example: tripost {EXAMPLES[name]}"


def _commands(app: typer.Typer, above: str) -> Iterator[tuple[str, Any]]:
    for command in app.registered_commands:
        yield f"{above}{command.name}", command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{above}{group.name} ")
