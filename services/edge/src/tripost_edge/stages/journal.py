"""Facts of the edge: each refusal and each accepted message as an event, one log line per transaction, a count."""

from collections.abc import Sequence
from typing import Any, Final

import structlog

from tripost_edge import metrics
from tripost_edge.firewall.networks import network_of
from tripost_edge.limits.told_refusals import Telling, ToldRefusals
from tripost_edge.ports import Clock, EventLog
from tripost_edge.session.session import Session, Transaction
from tripost_shared.contracts.events import Event, Fact
from tripost_shared.contracts.filter import Finding, Verdict
from tripost_shared.contracts.spool import Direction
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

THE_REST: Final = "further refusals of this client are counted for a while, not told"


class Journal:
    """Tells the trace, the log and the metrics what became of sessions and transactions."""

    def __init__(self, events: EventLog, clock: Clock, told: ToldRefusals) -> None:
        self._events = events
        self._clock = clock
        self._told = told

    def refused(
        self,
        session: Session,
        stage: str,
        reply: SmtpReply,
        *,
        recipient: str = "",
        because: str = "",
        verdict: Verdict | None = None,
        reverse_path: str | None = None,
        tried_login: str = "",
        rule: str = "",
    ) -> SmtpReply:
        """Record a refusal of a command, by a `rule` of edge's own; gives the reply with the id to find it by."""
        transaction = session.transaction
        if transaction is not None:
            transaction.last_refusal = reply
            reverse_path = transaction.reverse_path
        metrics.refusals[stage].inc()
        log.debug("command refused", stage=stage, because=because or str(reply), **_facts(session), recipient=recipient)
        client = session.client
        telling = Telling.WHOLE if client.is_trusted else self._told.next(network_of(client.address))
        if telling is not Telling.NOT:
            self._record(
                session,
                Fact.REFUSED,
                stage=stage,
                reply=str(reply),
                recipient=recipient,
                detail=f"{because}; {THE_REST}".removeprefix("; ") if telling is Telling.LAST else because,
                reverse_path=reverse_path,
                tried_login=tried_login,
                **({"rule": rule} if rule else _judgement(verdict)),
            )
        if transaction is None and telling is not Telling.NOT:
            log.info("refused", stage=stage, reply=str(reply), because=because, **_facts(session))
        return reply.with_id(session.subject_id)

    def accepted(
        self,
        session: Session,
        transaction: Transaction,
        fact: Fact,
        reply: SmtpReply,
        verdict: Verdict,
        *,
        size_octets: int,
        subject: str,
    ) -> None:
        """Record a message that was answered with 250: ACCEPTED, or DISCARDED by the verdict."""
        transaction.add_findings(verdict.findings)
        findings = tuple(transaction.findings)
        metrics.messages[fact.value].inc()
        metrics.octets_received.inc(size_octets)
        self._record(
            session,
            fact,
            stage="data",
            reply=str(reply),
            detail=transaction.ruled,
            reverse_path=transaction.reverse_path,
            recipients=tuple(transaction.recipients),
            size_octets=size_octets,
            subject=subject,
            **_judgement(verdict, findings),
        )
        log.info(
            f"message {fact.value}",
            **_facts(session),
            recipients=len(transaction.recipients),
            refused_recipients=transaction.refused_recipients,
            size_octets=size_octets,
            action=verdict.action.value,
            findings=summary(findings),
        )

    def refused_message(
        self,
        session: Session,
        transaction: Transaction,
        reply: SmtpReply,
        *,
        because: str,
        size_octets: int,
        subject: str = "",
        verdict: Verdict | None = None,
        rule: str = "",
    ) -> SmtpReply:
        """Record a message that was refused after its content had come; gives the reply with its id."""
        transaction.add_findings(verdict.findings if verdict else ())
        transaction.come_to_nothing()
        findings = tuple(transaction.findings)
        metrics.messages["deferred" if reply.is_transient else "refused"].inc()
        metrics.refusals["data"].inc()
        self._record(
            session,
            Fact.REFUSED,
            stage="data",
            reply=str(reply),
            detail="" if verdict is not None and verdict.action.refuses else because,  # the verdict says it itself
            reverse_path=transaction.reverse_path,
            recipients=tuple(transaction.recipients),
            size_octets=size_octets,
            subject=subject,
            **(_judgement(verdict, findings) | ({"rule": rule} if rule else {})),
        )
        log.info(
            "message refused",
            reply=str(reply),
            because=because,
            **_facts(session),
            recipients=len(transaction.recipients),
            size_octets=size_octets,
            findings=summary(findings),
        )
        return reply.with_id(transaction.id)

    def abandoned(self, session: Session, because: str) -> None:
        """Note the end of a transaction that came to no message, and close it."""
        transaction = session.transaction
        if transaction is None:
            return
        transaction.come_to_nothing()
        metrics.messages["abandoned"].inc()
        log.info(
            "transaction ended without a message",
            because=because,
            **_facts(session),
            recipients=len(transaction.recipients),
            refused_recipients=transaction.refused_recipients,
            last_refusal=str(transaction.last_refusal or ""),
        )
        session.transaction = None

    def limit_warned(self, session: Session, stage: str, detail: str) -> None:
        """Record that most of a limit is used up."""
        self._record(session, Fact.LIMIT_WARNED, stage=stage, detail=detail)
        log.warning("a limit is nearly reached", detail=detail, **_facts(session))

    def _record(self, session: Session, fact: Fact, **facts: Any) -> None:
        session.facts += 1
        client = session.client
        self._events.record(
            Event(
                id=f"{session.id}.edge.{session.facts}",
                message_id=session.subject_id,
                at=self._clock.now(),
                fact=fact,
                service="edge",
                direction=direction_of(session),
                client=client.address,
                helo=client.helo,
                login=client.login,
                tls=client.tls,
                **facts,
            )
        )


def direction_of(session: Session) -> Direction:
    """Mail of our own clients goes out, whoever it is for."""
    return Direction.OUTBOUND if session.client.is_trusted else Direction.INBOUND


def summary(findings: Sequence[Finding]) -> str:
    """Give the findings in a few words: `spf=pass dnsbl=none`."""
    return " ".join(f"{finding.check}={finding.result}" for finding in findings)


def _judgement(verdict: Verdict | None, findings: tuple[Finding, ...] = ()) -> dict[str, Any]:
    """Give what an event says of the filter's judgement; `findings` are those of all stages where there are others."""
    if verdict is None:
        return {"findings": findings}
    return {
        "action": verdict.action.value,
        "rule": verdict.rule,
        "intended": verdict.intended.value if verdict.intended is not None else "",
        "score": verdict.score,
        "findings": findings or verdict.findings,
    }


def _facts(session: Session) -> dict[str, str]:
    facts = {"session": session.id, "client": session.client.address, "helo": session.client.helo}
    if session.client.login:
        facts["login"] = session.client.login
    if session.transaction is not None:
        facts["message_id"] = session.transaction.id
        facts["reverse_path"] = session.transaction.reverse_path
    return facts
