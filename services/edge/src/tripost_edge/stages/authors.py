"""Who a login may write as: each author of the From field must be one that it may send as (RFC 6409 §6.1)."""

from tripost_edge.session import replies
from tripost_edge.session.author_field import NoAuthors, authors_of
from tripost_edge.session.session import Session
from tripost_edge.stages.rights import Rights
from tripost_shared.mail.failures import PermanentFailure


class Authors:
    """Checks the From field of mail from logins; other clients are judged by the filter (DMARC)."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self.is_checked = True  # the configuration may say otherwise, as that of the client's listener may

    async def check(self, session: Session, from_fields: tuple[bytes, ...]) -> None:
        """Raise MailFailure unless the client may write as every author; `from_fields` are all From fields, raw."""
        if not (session.client.login and session.check_author and self.is_checked):
            return
        try:
            authors = authors_of(from_fields)
        except NoAuthors as error:
            raise PermanentFailure(replies.NO_AUTHOR, because=str(error)) from error
        for author in authors:
            await self._rights.check_author(session, author)
