"""`tripost relay-network` and `tripost xclient-network`: lists of networks that edge heeds."""

from typing import Annotated, NamedTuple

import typer

from tripost_admin_api.cli.adding import IfMissing, add
from tripost_admin_api.cli.client import connect, path
from tripost_admin_api.cli.output import Form, Output, column, done, facts, rows

Network = Annotated[str, typer.Argument(help="Such as 192.0.2.0/24.")]


class _Words(NamedTuple):
    """What the commands of one list say."""

    noun: str
    help: str
    none: str
    add: str
    remove: str

    @property
    def plural(self) -> str:
        """The noun in the API's paths."""
        return f"{self.noun}s"

    def named(self, network: str) -> str:
        """Name one of them at the beginning of a sentence."""
        words = self.noun.replace("-", " ")
        return f"{words[0].upper()}{words[1:]} {network}"


def _group(words: _Words) -> typer.Typer:
    group = typer.Typer(help=words.help, no_args_is_help=True)

    @group.command("list", help="List the networks.")
    def list_networks(context: typer.Context, output: Output = Form.TABLE) -> None:
        rows(output, connect(context).all(words.plural), [column("NETWORK", "network")], words.none)

    @group.command("add", help=words.add)
    def add_network(
        context: typer.Context, network: Network, if_missing: IfMissing = False, output: Output = Form.TABLE
    ) -> None:
        client = connect(context)
        add(
            output,
            words.named(network),
            lambda: client.post(words.plural, {"network": network}),
            lambda: client.find(path(words.plural, network)),
            if_missing=if_missing,
        )

    @group.command("show", help="Show a network.")
    def show_network(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
        facts(output, connect(context).get(path(words.plural, network)))

    @group.command("remove", help=words.remove)
    def remove_network(context: typer.Context, network: Network, output: Output = Form.TABLE) -> None:
        connect(context).delete(path(words.plural, network))
        done(output, f"{words.named(network)} removed.", {"removed": network})

    return group


relay_network = _group(
    _Words(
        "relay-network",
        help="Networks that may relay without a login.",
        none="No relay networks: clients log in to relay.",
        add="Let a network's clients relay without a login.",
        remove="Let a network's clients relay with a login only.",
    )
)
xclient_network = _group(
    _Words(
        "xclient-network",
        help="Networks of proxies that say by XCLIENT whom they speak for.",
        none="No XCLIENT networks: nobody may use XCLIENT.",
        add="Believe what a network's clients say by XCLIENT.",
        remove="Let a network's clients use XCLIENT no more.",
    )
)
