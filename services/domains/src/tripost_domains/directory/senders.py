"""Which reverse-paths a login may use."""

from collections.abc import Collection
from typing import Final

from tripost_domains.directory.model import MailboxDestination
from tripost_domains.directory.service import Directory
from tripost_shared.contracts.domains import MaySendAnswer, MaySendQuestion
from tripost_shared.mail.address import Address, InvalidAddress

NOT_ALLOWED: Final = MaySendAnswer(allowed=False)


class Senders:
    """Own address, then grants, then aliases: the cheapest to find out first.

    A catch-all gives no right: its owner gets the mail for addresses that nobody has, but may not write in any name.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def may_send(self, question: MaySendQuestion) -> MaySendAnswer:
        """Answer the question; raises TransientFailure when that cannot be known now."""
        try:
            login, reverse_path = Address.parse(question.login), Address.parse(question.reverse_path)
        except InvalidAddress:
            return NOT_ALLOWED
        sender = await self._directory.sender(login)
        if sender is None or not sender.enabled:
            return NOT_ALLOWED
        if login.key == reverse_path.key:
            return MaySendAnswer(allowed=True, because="mailbox")
        names = await self._directory.names(reverse_path)
        if login.key in names:
            return MaySendAnswer(allowed=True, because="mailbox")
        if _is_granted(reverse_path.domain, names, sender.grants):
            return MaySendAnswer(allowed=True, because="grant")
        resolution = await self._directory.resolve_aliases(reverse_path)
        mailboxes = {found.address for found in resolution.destinations if isinstance(found, MailboxDestination)}
        if login.key in mailboxes and resolution.expansions:
            return MaySendAnswer(allowed=True, because="alias")
        return NOT_ALLOWED


def _is_granted(domain: str, names: Collection[str], grants: Collection[str]) -> bool:
    return f"@{domain}" in grants or any(name in grants for name in names)
