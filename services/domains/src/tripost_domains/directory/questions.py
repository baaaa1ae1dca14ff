"""Answers to what edge asks (`tripost_shared.contracts.domains`)."""

from typing import Final

from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.revisions import Revisions
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_shared.bus.port import Bus
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import (
    AUTHENTICATE,
    MAY_SEND,
    RESOLVE,
    MaySendAnswer,
    MaySendQuestion,
    ResolveAnswer,
    ResolveQuestion,
)

LOGIN_OVER: Final = MaySendAnswer(allowed=False, login_stands=False)


class DirectoryQuestions:
    """Serves `domains.v1` on the bus; a TransientFailure reaches the asker as `Failed`."""

    def __init__(self, directory: Directory, authenticator: Authenticator, senders: Senders) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._senders = senders
        self._revisions = Revisions(directory.forget, authenticator.forget)

    def take_change(self, change: DirectoryChange) -> None:
        """Answer nothing more from what is remembered from before this change."""
        self._revisions.hear(change.revision)

    async def serve(self, bus: Bus) -> None:
        """Begin to answer."""
        await bus.serve(RESOLVE, self.resolve)
        await bus.serve(AUTHENTICATE, self._authenticator.authenticate)
        await bus.serve(MAY_SEND, self.may_send)

    async def resolve(self, question: ResolveQuestion) -> ResolveAnswer:
        """Say of each recipient what it is to us."""
        self._revisions.be_asked(question.directory_revision)
        resolutions = await self._directory.resolve_all(question.recipients)
        return ResolveAnswer(tuple(resolution.kind for resolution in resolutions))

    async def may_send(self, question: MaySendQuestion) -> MaySendAnswer:
        """Say whether the login still stands, and then what it may send as."""
        self._revisions.be_asked(question.directory_revision)
        if question.credential and not await self._authenticator.stands(question.login, question.credential):
            return LOGIN_OVER
        return await self._senders.may_send(question)
