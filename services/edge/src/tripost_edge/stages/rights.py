"""What a login may send as: asked at MAIL, before the content, and before the message is taken."""

from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.ports import Bus, NoAnswer
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.contracts.domains import MAY_SEND, MaySendQuestion
from tripost_shared.mail.failures import PermanentFailure, TransientFailure


class Rights:
    """Asks domains; grants are remembered for a short time, and until the directory changes.

    With each grant the login itself is looked at again: a session, and a transaction too, may outlive its mailbox,
    and its password.
    """

    def __init__(self, bus: Bus, directory: DirectoryMemory) -> None:
        self._bus = bus
        self._directory = directory

    async def check(self, session: Session, reverse_path: str) -> None:
        """Raise MailFailure unless the client may send as this ("": the null one); one without a login always may."""
        if not await self._is_granted(session, reverse_path):
            because = f"{session.client.login} may not send as {reverse_path}"
            raise PermanentFailure(replies.SENDER_NOT_YOURS, because=because)

    async def check_author(self, session: Session, author: str) -> None:
        """Raise MailFailure unless the client may write as this author; one without a login always may."""
        if not await self._is_granted(session, author):
            because = f"{session.client.login} may not write as {author}"
            raise PermanentFailure(replies.AUTHOR_NOT_YOURS, because=because)

    async def _is_granted(self, session: Session, address: str) -> bool:
        """Tell whether the login may use the address; raises TransientFailure, also when it is no login any more."""
        login = session.client.login
        if not login:
            return True
        key = (login, address, session.credential)
        grants = self._directory.grants
        if grants.get(key):
            return True
        generation = grants.generation
        try:
            answer = await self._bus.ask(MAY_SEND, MaySendQuestion(*key, self._directory.revision))
        except NoAnswer as error:
            raise TransientFailure(because=str(error)) from error
        if not answer.login_stands:
            raise TransientFailure(replies.LOGIN_OVER, because=f"{login} is no valid login any more")
        if not answer.allowed and address:  # the null reverse-path is open to every login
            return False
        grants.put(key, True, generation)
        return True
