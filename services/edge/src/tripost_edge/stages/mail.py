"""MAIL: a transaction begins (RFC 5321 §4.1.1.2, RFC 1870, RFC 6152, RFC 6531)."""

from typing import Final

from tripost_edge.session import replies
from tripost_edge.session.command import PathArgument, parse_mail
from tripost_edge.session.session import Session
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.rights import Rights
from tripost_shared.mail.address import MAX_PATH_OCTETS, InvalidAddress, parse_path
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.failures import MailFailure, PermanentFailure
from tripost_shared.mail.reply import SmtpReply

MAX_SIZE_DIGITS: Final = 20  # RFC 1870 §3
BODY_VALUES: Final = frozenset({"7BIT", "8BITMIME"})


class Mail:
    """Answers MAIL. A reverse-path must belong to the client's login, which must still stand."""

    def __init__(
        self,
        rights: Rights,
        journal: Journal,
        *,
        hostname: str,
    ) -> None:
        self._rights = rights
        self._journal = journal
        self._hostname = hostname

    async def take(self, session: Session, argument: str) -> SmtpReply:
        """Open a transaction, or refuse."""
        refusal = self._not_now(session)
        if refusal is not None:
            return refusal
        try:
            given = parse_mail(argument)
            reverse_path, smtputf8 = self._understood(session, given)
        except PermanentFailure as failure:
            if failure.reply == replies.TOO_BIG:  # a message that was refused, not a slip of the protocol
                return self._journal.refused(session, "mail", failure.reply, because=failure.because)
            return failure.reply
        try:
            await self._rights.check(session, reverse_path)
        except MailFailure as failure:
            return self._journal.refused(
                session, "mail", failure.reply, because=failure.because, reverse_path=reverse_path
            )
        session.begin_transaction(reverse_path, smtputf8=smtputf8)
        return replies.SENDER_OK

    def _not_now(self, session: Session) -> SmtpReply | None:
        if session.transactions >= session.limits.messages_per_session:
            return self._journal.refused(session, "mail", replies.TOO_MANY_MESSAGES)
        client = session.client
        if client.kind is ListenerKind.SUBMISSION and not client.login:
            return replies.AUTH_REQUIRED if client.tls else replies.STARTTLS_FIRST
        return None

    def _understood(self, session: Session, given: PathArgument) -> tuple[str, bool]:
        """Give reverse-path ("" for the null one) and SMTPUTF8; raises PermanentFailure."""
        smtputf8 = False
        if given.parameters and not session.client.esmtp:
            raise PermanentFailure(replies.UNKNOWN_PARAMETER, because="parameters without EHLO")
        for keyword, value in given.parameters.items():
            match keyword:
                case "SIZE":
                    _check_size(value, session.limits.size_limit_octets)
                case "BODY":
                    _check_body(value)
                case "SMTPUTF8" if value is None:
                    smtputf8 = True
                case "AUTH" if session.client.login and value:
                    pass  # RFC 4954 §5: must be taken; whom others have authenticated does not count here
                case _:
                    raise PermanentFailure(replies.UNKNOWN_PARAMETER, because=f"parameter {keyword}")
        return self._reverse_path(given.path, smtputf8=smtputf8), smtputf8

    def _reverse_path(self, path: str, *, smtputf8: bool) -> str:
        if not path:
            return ""
        if not smtputf8 and not path.isascii():
            raise PermanentFailure(replies.NEEDS_SMTPUTF8, because="reverse-path is not ASCII")
        try:
            if len(path.encode()) + 2 > MAX_PATH_OCTETS:
                raise InvalidAddress("path too long")
            address = parse_path(path)
        except InvalidAddress as error:
            raise PermanentFailure(replies.BAD_SENDER, because=str(error)) from error
        if address is None:
            return ""
        return str(address) if address.domain else f"{address}@{self._hostname}"


def _check_size(value: str | None, most: int) -> None:
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > MAX_SIZE_DIGITS:
        raise PermanentFailure(replies.BAD_PARAMETER, because="SIZE is no number")
    if int(value) > most:
        raise PermanentFailure(replies.TOO_BIG, because=f"{value} octets announced")


def _check_body(value: str | None) -> None:
    """See that it is one that there is (RFC 6152 §2); what the content is, its own octets tell."""
    if (value or "").upper() not in BODY_VALUES:
        raise PermanentFailure(replies.BAD_PARAMETER, because="BODY is neither 7BIT nor 8BITMIME")
