"""RCPT: whether this client may send to these recipients (RFC 5321 §4.1.1.3, §3.6, RFC 3461).

Recipients that a client pipelined are judged together: one question to the directory, one to the filter. The filter
is asked after the directory, and only about recipients that we take mail for, so that a dictionary attack leaves
nothing in the greylist.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from tripost_edge.limits.directory_memory import DirectoryMemory
from tripost_edge.ports import Bus, NoAnswer
from tripost_edge.session import replies
from tripost_edge.session.command import parse_rcpt
from tripost_edge.session.dsn_parameters import read_notify, read_orcpt
from tripost_edge.session.session import Session, Transaction
from tripost_edge.stages.connect import Connect
from tripost_edge.stages.control import Control
from tripost_edge.stages.journal import Journal
from tripost_shared.contracts.domains import RESOLVE, RecipientKind, ResolveQuestion
from tripost_shared.contracts.filter import RECIPIENTS, RecipientsQuestion, Verdict
from tripost_shared.mail.address import MAX_PATH_OCTETS, InvalidAddress, parse_path
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

TAKEN_FROM_ANYONE = frozenset({RecipientKind.LOCAL, RecipientKind.RELAY})
_Notices = tuple[tuple[str, ...], str]  # NOTIFY and ORCPT
_NO_NOTICES: Final[_Notices] = ((), "")
_SOURCE_ROUTING: Final = re.compile("[%!@]")


class Rcpt:
    """Answers RCPT. Recipients that anyone may send to are remembered in `directory` for a short time."""

    def __init__(
        self,
        bus: Bus,
        connect: Connect,
        directory: DirectoryMemory,
        control: Control,
        journal: Journal,
    ) -> None:
        self._bus = bus
        self._connect = connect
        self._directory = directory
        self._known = directory.recipients
        self._control = control
        self._journal = journal

    async def take(self, session: Session, arguments: Sequence[str]) -> list[SmtpReply]:
        """Answer RCPT commands that came together, in their order; a transaction is open."""
        transaction = session.transaction
        if transaction is None:
            raise RuntimeError("RCPT without a transaction")
        answers: list[SmtpReply] = []
        waiting = [_read(session, transaction, argument) for argument in arguments]
        while waiting:
            # No more than can still be judged, so that the answers do not depend on what came together.
            room = session.limits.recipients_limit - len(transaction.recipients) - transaction.deferred_recipients
            batch, waiting = (waiting[:room], waiting[room:]) if room > 0 else (waiting, [])
            answers += await self._answer(session, transaction, batch, has_room=room > 0)
        return answers

    async def _answer(
        self, session: Session, transaction: Transaction, batch: list[Recipient | SmtpReply], *, has_room: bool
    ) -> list[SmtpReply]:
        given: dict[str, Recipient] = {}  # by address; of one that comes twice the first counts
        for each in batch:
            if isinstance(each, Recipient) and each.address not in transaction.recipients:
                given.setdefault(each.address, each)
        new = list(given)
        redirected: dict[str, str] = {}
        if has_room:
            refused, redirected = await self._ruled_and_judged(session, transaction, new)
        else:
            refused = dict.fromkeys(new, replies.TOO_MANY_RECIPIENTS.with_id(transaction.id))
        for address, recipient in given.items():
            if address not in refused:
                target = redirected.get(address)
                transaction.recipients[address] = replace(recipient, redirected_to=target) if target else recipient
        if refused:
            transaction.refused_recipients += sum(
                1 for each in batch if isinstance(each, Recipient) and each.address in refused
            )
            transaction.deferred_recipients += sum(1 for reply in refused.values() if reply.is_transient and has_room)
        return [
            each if isinstance(each, SmtpReply) else refused.get(each.address, replies.RECIPIENT_OK) for each in batch
        ]

    async def _ruled_and_judged(
        self, session: Session, transaction: Transaction, new: list[str]
    ) -> tuple[dict[str, SmtpReply], dict[str, str]]:
        """Give the refusals by recipient, and where rules send some of them instead."""
        if not new:
            return {}, {}
        if self._control.is_idle:
            return await self._refusals(session, transaction, new), {}
        said = self._control.at_rcpt(session, transaction, new)
        refused = dict(said.refused)
        others = [address for address in new if address not in refused and address not in said.redirected]
        if others:
            refused |= await self._refusals(session, transaction, others)
        if said.redirected:
            targets = list(dict.fromkeys(said.redirected.values()))
            of_targets = await self._refusals(session, transaction, targets, are_targets=True)
            refused |= {
                address: of_targets[target] for address, target in said.redirected.items() if target in of_targets
            }
        taken = [address for address in new if address not in refused]
        refused |= await self._control.count_recipients(session, transaction, taken)
        return refused, said.redirected

    async def _refusals(
        self, session: Session, transaction: Transaction, new: list[str], *, are_targets: bool = False
    ) -> dict[str, SmtpReply]:
        """Give the refusals by recipient, recorded. `are_targets`: an operator's rule sends mail there.

        A client that is refused learns nothing of the directory, and costs it nothing. So the filter is asked about it
        beforehand, unless the directory is not needed: then one question is about the client and its recipients.
        """
        and_client = not self._unknown(new) and self._connect.join(session)
        refused = {} if and_client else await self._refusal_of_client(session, new)
        if refused:
            return refused
        if unknown := self._unknown(new):
            refused = await self._refusals_of_directory(session, unknown, are_targets=are_targets)
        asked = [address for address in new if address not in refused] if refused else new
        if asked:
            refused |= await self._refusals_of_filter(session, transaction, asked, and_client=and_client)
        return refused

    def _unknown(self, addresses: list[str]) -> list[str]:
        """Give those that the directory is to be asked about."""
        return [address for address in addresses if self._known.get(address) is None]

    async def _refusal_of_client(self, session: Session, new: list[str]) -> dict[str, SmtpReply]:
        try:
            verdict = await self._connect.judgement(session)
        except NoAnswer as error:
            return self._refused(session, new, TRY_LATER, str(error))
        if verdict is None:
            return {}
        if verdict.action.refuses and not session.client.is_trusted:
            return {address: self._refused_by(session, "connect", address, verdict) for address in new}
        if session.transaction is not None:
            session.transaction.add_findings(verdict.findings)
        return {}

    async def _refusals_of_directory(
        self, session: Session, unknown: list[str], *, are_targets: bool
    ) -> dict[str, SmtpReply]:
        generation = self._known.generation
        try:
            question = ResolveQuestion(tuple(unknown), self._directory.revision)
            kinds = (await self._bus.ask(RESOLVE, question)).kinds
        except NoAnswer as error:
            return self._refused(session, unknown, TRY_LATER, str(error))
        if len(kinds) != len(unknown):
            return self._refused(session, unknown, TRY_LATER, "domains answered about other recipients")
        refused: dict[str, SmtpReply] = {}
        for address, kind in zip(unknown, map(_plain_kind, unknown, kinds), strict=True):
            reply = _reply_to(kind, is_trusted=are_targets or session.client.is_trusted)
            if reply is not None:
                reply = replies.REDIRECTED_NOWHERE if are_targets else reply
                refused |= self._refused(session, [address], reply, f"recipient is {kind.value}")
            elif kind in TAKEN_FROM_ANYONE:
                self._known.put(address, kind, generation)
        return refused

    async def _refusals_of_filter(
        self, session: Session, transaction: Transaction, asked: list[str], *, and_client: bool
    ) -> dict[str, SmtpReply]:
        question = RecipientsQuestion(
            transaction.id,
            session.client,
            transaction.reverse_path,
            tuple(asked),
            and_client=and_client,
            sender=transaction.findings_of_sender(),
        )
        try:
            answer = await self._bus.ask(RECIPIENTS, question)
        except NoAnswer as error:
            return self._refused(session, asked, TRY_LATER, str(error))
        if and_client:
            if answer.client is not None:
                self._connect.take(session, answer.client)
            refused = await self._refusal_of_client(session, asked)  # asks, when an older filter has not told
            if refused:
                return refused
        if len(answer.verdicts) != len(asked):
            return self._refused(session, asked, TRY_LATER, "filter answered about other recipients")
        refused = {}
        for address, verdict in zip(asked, answer.verdicts, strict=True):
            if verdict.action.refuses:
                refused[address] = self._refused_by(session, "rcpt", address, verdict)
            else:
                transaction.add_findings(verdict.findings)
        return refused

    def _refused_by(self, session: Session, stage: str, address: str, verdict: Verdict) -> SmtpReply:
        return self._journal.refused(session, stage, replies.of_verdict(verdict), recipient=address, verdict=verdict)

    def _refused(
        self, session: Session, addresses: Sequence[str], reply: SmtpReply, because: str
    ) -> dict[str, SmtpReply]:
        return {
            address: self._journal.refused(session, "rcpt", reply, recipient=address, because=because)
            for address in addresses
        }


def _read(session: Session, transaction: Transaction, argument: str) -> Recipient | SmtpReply:
    """Give the recipient, or the reply to one that cannot be read."""
    try:
        given = parse_rcpt(argument)
        notify, original = _NO_NOTICES
        if given.parameters:
            if not session.client.esmtp:
                return replies.UNKNOWN_PARAMETER
            notify, original = _notices(given.parameters, smtputf8=transaction.smtputf8)
        if not transaction.smtputf8 and not given.path.isascii():
            return replies.NEEDS_SMTPUTF8
        if len(given.path.encode()) + 2 > MAX_PATH_OCTETS:
            return replies.BAD_RECIPIENT
        address = parse_path(given.path)
    except PermanentFailure as failure:
        return failure.reply
    except InvalidAddress:
        return replies.BAD_RECIPIENT
    if address is None:
        return replies.BAD_RECIPIENT
    text = str(address) if address.domain else "postmaster"  # RFC 5321 §4.5.1; domains says whose that is
    return Recipient(text, notify, original)


def _notices(parameters: Mapping[str, str | None], *, smtputf8: bool) -> _Notices:
    """Give NOTIFY and ORCPT; raises PermanentFailure."""
    notify: tuple[str, ...] = ()
    original = ""
    for keyword, value in parameters.items():
        match keyword:
            case "NOTIFY":
                notify = read_notify(value)
            case "ORCPT":
                original = read_orcpt(value, smtputf8=smtputf8)
            case _:
                raise PermanentFailure(replies.UNKNOWN_PARAMETER, because=f"parameter {keyword}")
    return notify, original


def _plain_kind(address: str, kind: RecipientKind) -> RecipientKind:
    """Give the kind, FOREIGN where the host of a relayed domain may take the local part for another address.

    Such hosts would relay to it for whoever we relay for: `x%far.example@`, `far.example!x@`, `"x@far.example"@`.
    So may one that makes letters plain (NFKC) of the wide forms of these characters.
    """
    local_part = unicodedata.normalize("NFKC", address.rpartition("@")[0])
    if kind is RecipientKind.RELAY and _SOURCE_ROUTING.search(local_part):
        return RecipientKind.FOREIGN
    return kind


def _reply_to(kind: RecipientKind, *, is_trusted: bool) -> SmtpReply | None:
    """Give the refusal that a kind of recipient calls for, None when mail for it is taken."""
    match kind:
        case RecipientKind.LOCAL | RecipientKind.RELAY:
            return None
        case RecipientKind.UNKNOWN:
            return replies.UNKNOWN_RECIPIENT
        case RecipientKind.DISABLED:
            return replies.RECIPIENT_DISABLED
        case RecipientKind.FOREIGN:
            return None if is_trusted else replies.RELAYING_DENIED
