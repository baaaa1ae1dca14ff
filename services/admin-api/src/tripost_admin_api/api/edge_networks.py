"""Lists of networks in edge's configuration: one noun for each, all with the same four ways to use it."""

from typing import NamedTuple
from urllib.parse import quote

import msgspec
from fastapi import Response

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.models import Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem
from tripost_admin_api.configuration import documents
from tripost_shared.contracts.config import EDGE_KEY, EdgeConfig

MOST = 1000


class NetworkOut(Outgoing):
    """A network in CIDR form."""

    network: str


class NetworkList(NamedTuple):
    """One list: its field in EdgeConfig, its noun in paths and in the audit, and what a network in it may do."""

    field: str
    noun: str
    may: str

    def of(self, config: EdgeConfig) -> tuple[str, ...]:
        """Give the networks of a configuration."""
        networks: tuple[str, ...] = getattr(config, self.field)
        return networks

    async def page(self, parts: PartsNeeded, query: paging.Listing) -> Page[NetworkOut]:
        """List the networks."""
        after = paging.decode(query.cursor, tuple[str])
        async with parts.database.reading() as session:
            known = sorted(self.of(await documents.read_edge(session)))
        rows = [network for network in known if after is None or network > after[0]][: query.limit + 1]
        items, following = paging.part(rows, query.limit, lambda network: [network])
        return Page(items=[NetworkOut(network=network) for network in items], next_cursor=following)

    async def add(self, network: str, parts: PartsNeeded, actor: ActorNeeded, response: Response) -> NetworkOut:
        """Add a network; raises Problem."""
        async with parts.changing(actor) as change:
            present = await documents.read_edge(change.session)
            known = self.of(present)
            if network in known:
                raise Problem("conflict", f"{network} {self.may} already.")
            if len(known) >= MOST:
                raise Problem("conflict", f"There are {MOST} {self._words}s already, which is the most.")
            await change.write_document(EDGE_KEY, msgspec.structs.replace(present, **{self.field: (*known, network)}))
            change.note(f"{self.noun}.create", network)
        response.headers["Location"] = f"/api/v1/{self.noun}s/{quote(network)}"
        return NetworkOut(network=network)

    async def show(self, network: str, parts: PartsNeeded) -> NetworkOut:
        """Show a network; raises Problem."""
        async with parts.database.reading() as session:
            present = await documents.read_edge(session)
        return NetworkOut(network=self._found(network, self.of(present)))

    async def remove(self, network: str, parts: PartsNeeded, actor: ActorNeeded) -> None:
        """Remove a network; raises Problem."""
        async with parts.changing(actor) as change:
            present = await documents.read_edge(change.session)
            wanted = self._found(network, self.of(present))
            left = tuple(known for known in self.of(present) if known != wanted)
            await change.write_document(EDGE_KEY, msgspec.structs.replace(present, **{self.field: left}))
            change.note(f"{self.noun}.delete", wanted)

    @property
    def _words(self) -> str:
        return self.noun.replace("-", " ")

    def _found(self, network: str, known: tuple[str, ...]) -> str:
        if network in known:  # also one that is accepted no more
            return network
        try:
            wanted = names.network(network)
        except ValueError as error:
            raise Problem("not-found", str(error)) from None
        if wanted not in known:
            raise Problem("not-found", f"{wanted} is no {self._words}.")
        return wanted
