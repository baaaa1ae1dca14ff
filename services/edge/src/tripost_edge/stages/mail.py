"""MAIL: a transaction begins (RFC 5321 §4.1.1.2, RFC 1870, RFC 6152, RFC 6531, RFC 3461)."""

from typing import Final, NamedTuple

from tripost_edge.session import replies
from tripost_edge.session.command import PathArgument, parse_mail
from tripost_edge.session.dsn_parameters import read_envid, read_ret
from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.control import Control
from tripost_edge.stages.journal import Journal
from tripost_edge.stages.rights import Rights
from tripost_shared.mail.address import MAX_PATH_OCTETS, InvalidAddress, parse_path
from tripost_shared.mail.client import ListenerKind
from tripost_shared.mail.failures import MailFailure, PermanentFailure
from tripost_shared.mail.reply import SmtpReply

MAX_SIZE_DIGITS: Final = 20  # RFC 1870 §3
BODY_VALUES: Final = frozenset({"7BIT", "8BITMIME"})


class _Given(NamedTuple):
    """What MAIL says of the transaction. `reverse_path` is "" for the null one."""

    reverse_path: str
    smtputf8: bool = False
    envid: str = ""
    ret: str = ""


class Mail:
    """Answers MAIL. A reverse-path must belong to the client's login, which must still stand."""

    def __init__(
        self,
        rights: Rights,
        control: Control,
        journal: Journal,
        *,
        hostname: str,
    ) -> None:
        self._rights = rights
        self._control = control
        self._journal = journal
        self._hostname = hostname

    async def take(self, session: Session, argument: str) -> SmtpReply:
        """Open a transaction, or refuse."""
        refusal = self._not_now(session)
        if refusal is not None:
            return refusal
        try:
            given = parse_mail(argument)
            understood = self._understood(session, given)
        except PermanentFailure as failure:
            if failure.reply == replies.TOO_BIG:  # a message that was refused, not a slip of the protocol
                return self._journal.refused(session, "mail", failure.reply, because=failure.because)
            return failure.reply
        try:
            await self._rights.check(session, understood.reverse_path)
        except MailFailure as failure:
            return self._journal.refused(
                session, "mail", failure.reply, because=failure.because, reverse_path=understood.reverse_path
            )
        if self._control.is_idle:
            _begin(session, understood)
            return replies.SENDER_OK
        announced = int(given.parameters.get("SIZE") or 0)
        opening = await self._control.at_mail(session, understood.reverse_path, announced)
        if opening.refusal is not None:
            return opening.refusal
        transaction = _begin(session, understood)
        await self._control.opened(session, transaction, opening)
        return replies.SENDER_OK

    def _not_now(self, session: Session) -> SmtpReply | None:
        if session.transactions >= session.limits.messages_per_session:
            return self._journal.refused(session, "mail", replies.TOO_MANY_MESSAGES)
        client = session.client
        if client.kind is ListenerKind.SUBMISSION and not client.login:
            return replies.AUTH_REQUIRED if client.tls else replies.STARTTLS_FIRST
        return None

    def _understood(self, session: Session, given: PathArgument) -> _Given:
        """Read path and parameters; raises PermanentFailure."""
        smtputf8, envid, ret = False, "", ""
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
                case "ENVID":
                    envid = read_envid(value)
                case "RET":
                    ret = read_ret(value)
                case "AUTH" if session.client.login and value:
                    pass  # RFC 4954 §5: must be taken; whom others have authenticated does not count here
                case _:
                    raise PermanentFailure(replies.UNKNOWN_PARAMETER, because=f"parameter {keyword}")
        return _Given(self._reverse_path(given.path, smtputf8=smtputf8), smtputf8, envid, ret)

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


def _begin(session: Session, given: _Given) -> Transaction:
    return session.begin_transaction(given.reverse_path, smtputf8=given.smtputf8, envid=given.envid, ret=given.ret)


def _check_size(value: str | None, most: int) -> None:
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > MAX_SIZE_DIGITS:
        raise PermanentFailure(replies.BAD_PARAMETER, because="SIZE is no number")
    if int(value) > most:
        raise PermanentFailure(replies.TOO_BIG, because=f"{value} octets announced")


def _check_body(value: str | None) -> None:
    """See that it is one that there is (RFC 6152 §2); what the content is, its own octets tell."""
    if (value or "").upper() not in BODY_VALUES:
        raise PermanentFailure(replies.BAD_PARAMETER, because="BODY is neither 7BIT nor 8BITMIME")
