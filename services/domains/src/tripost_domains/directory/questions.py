"""Answers to what edge asks (`tripost_shared.contracts.domains`)."""

import asyncio

from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_shared.bus.port import Bus
from tripost_shared.contracts.domains import AUTHENTICATE, MAY_SEND, RESOLVE, ResolveAnswer, ResolveQuestion


class DirectoryQuestions:
    """Serves `domains.v1` on the bus; a TransientFailure reaches the asker as `Failed`."""

    def __init__(self, directory: Directory, authenticator: Authenticator, senders: Senders) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._senders = senders

    async def serve(self, bus: Bus) -> None:
        """Begin to answer."""
        await bus.serve(RESOLVE, self.resolve)
        await bus.serve(AUTHENTICATE, self._authenticator.authenticate)
        await bus.serve(MAY_SEND, self._senders.may_send)

    async def resolve(self, question: ResolveQuestion) -> ResolveAnswer:
        """Say of each recipient what it is to us."""
        resolutions = await asyncio.gather(*(self._directory.resolve(address) for address in question.recipients))
        return ResolveAnswer(tuple(resolution.kind for resolution in resolutions))
