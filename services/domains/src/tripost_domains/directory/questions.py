"""Answers to what edge asks (`tripost_shared.contracts.domains`, `tripost_shared.contracts.sasl`)."""

from typing import Final

from tripost_domains.directory.authentication import Authenticator
from tripost_domains.directory.logins import Logins
from tripost_domains.directory.revisions import Revisions
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_domains.sasl.questions import SaslQuestions
from tripost_shared.bus.port import Bus
from tripost_shared.contracts.config import DirectoryChange
from tripost_shared.contracts.domains import (
    AUTHENTICATE,
    MAY_SEND,
    RESOLVE,
    AuthenticateAnswer,
    AuthenticateQuestion,
    MaySendAnswer,
    MaySendQuestion,
    ResolveAnswer,
    ResolveQuestion,
)
from tripost_shared.contracts.sasl import (
    MECHANISMS,
    SASL,
    MechanismsAnswer,
    MechanismsQuestion,
    SaslAnswer,
    SaslQuestion,
    sasl_of,
)

LOGIN_OVER: Final = MaySendAnswer(allowed=False, login_stands=False)


class DirectoryQuestions:
    """Serves `domains.v1` on the bus; a TransientFailure reaches the asker as `Failed`."""

    def __init__(
        self, directory: Directory, logins: Logins, authenticator: Authenticator, sasl: SaslQuestions, senders: Senders
    ) -> None:
        self._directory = directory
        self._logins = logins
        self._authenticator = authenticator
        self._sasl = sasl
        self._senders = senders
        self._revisions = Revisions(directory.forget, logins.forget, authenticator.forget)

    def take_change(self, change: DirectoryChange) -> None:
        """Answer nothing more from what is remembered from before this change."""
        self._revisions.hear(change.revision)

    async def serve(self, bus: Bus) -> None:
        """Begin to answer."""
        await bus.serve(RESOLVE, self.resolve)
        await bus.serve(AUTHENTICATE, self.authenticate)
        await bus.serve(SASL, self.take_step)
        if self._sasl.instance:
            await bus.serve(sasl_of(self._sasl.instance), self.take_step)
        await bus.serve(MECHANISMS, self.mechanisms)
        await bus.serve(MAY_SEND, self.may_send)

    async def resolve(self, question: ResolveQuestion) -> ResolveAnswer:
        """Say of each recipient what it is to us."""
        self._revisions.be_asked(question.directory_revision)
        resolutions = await self._directory.resolve_all(question.recipients)
        return ResolveAnswer(tuple(resolution.kind for resolution in resolutions))

    async def authenticate(self, question: AuthenticateQuestion) -> AuthenticateAnswer:
        """Say whether this is the login's password."""
        self._revisions.be_asked(question.directory_revision)
        return await self._authenticator.authenticate(question)

    async def take_step(self, question: SaslQuestion) -> SaslAnswer:
        """Say what comes next in a SASL exchange."""
        self._revisions.be_asked(question.directory_revision)
        return await self._sasl.answer(question)

    async def mechanisms(self, question: MechanismsQuestion) -> MechanismsAnswer:
        """Say by which mechanisms anybody may log in."""
        self._revisions.be_asked(question.directory_revision)
        return await self._sasl.mechanisms()

    async def may_send(self, question: MaySendQuestion) -> MaySendAnswer:
        """Say whether the login still stands, and then what it may send as."""
        self._revisions.be_asked(question.directory_revision)
        if question.credential and not await self._logins.stands(question.login, question.credential):
            return LOGIN_OVER
        return await self._senders.may_send(question)
