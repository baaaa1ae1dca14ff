"""Whether a login may write only as authors (From field) that it may send as."""

import msgspec
from fastapi import APIRouter

from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.configuration import documents
from tripost_shared.contracts.config import EDGE_KEY

router = APIRouter(prefix="/author-check", tags=["author check"])


class AuthorCheckBody(Incoming):
    """The check of authors, for all logins."""

    enabled: bool


@router.get("")
async def show_author_check(parts: PartsNeeded) -> AuthorCheckBody:
    """Show whether authors are checked."""
    async with parts.database.reading() as session:
        return AuthorCheckBody(enabled=(await documents.read_edge(session)).check_author)


@router.put("")
async def set_author_check(body: AuthorCheckBody, parts: PartsNeeded, actor: ActorNeeded) -> AuthorCheckBody:
    """Check authors, or let logins write as anybody."""
    async with parts.changing(actor) as change:
        present = await documents.read_edge(change.session)
        await change.write_document(EDGE_KEY, msgspec.structs.replace(present, check_author=body.enabled))
        change.note("author-check.update", "authors", {"enabled": present.check_author}, {"enabled": body.enabled})
    return body
