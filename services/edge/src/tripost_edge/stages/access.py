"""Access rules: a client is let in, refused or held back, as soon as it is known which rule decides.

That is when it connects if the rules in question look at nothing else than its address, its host name and its
listener; else at HELO or EHLO; at MAIL everything is known. A rule that has matched stays the one that decides, unless
the client says another name or the rules have changed.
"""

from typing import Final

import structlog

from tripost_edge.limits.rule_hits import RuleHits, key_of
from tripost_edge.ports import Clock, Resolver
from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_edge.stages.journal import Journal
from tripost_shared.access.facts import NO_NAMES, ClientFacts, Unknown
from tripost_shared.access.rules import AccessRules
from tripost_shared.contracts.access import AccessAction, AccessConfig, AccessRule
from tripost_shared.contracts.filter import CONNECTION_STAGE, Finding
from tripost_shared.dns.host_names import names_of
from tripost_shared.mail.client import Client
from tripost_shared.mail.identifier import new_session_id
from tripost_shared.mail.reply import SmtpReply

log = structlog.get_logger()

CHECK: Final = "access"  # as the trace names what was found
_NAME_ALONE: Final = frozenset({Unknown.NAME})
_REFUSING: Final = frozenset({AccessAction.DENY, AccessAction.TEMPFAIL})


class Access:
    """Asks the rules about clients. A proxy that speaks for itself is none, and is asked about by nobody."""

    def __init__(self, resolver: Resolver, journal: Journal, hits: RuleHits, clock: Clock) -> None:
        self._resolver = resolver
        self._journal = journal
        self._hits = hits
        self._clock = clock
        self._rules = AccessRules(AccessConfig())

    def take_config(self, config: AccessConfig) -> None:
        """Put rules in force: for clients that connect from now on, in open sessions from the next MAIL on."""
        self._rules = AccessRules(config)
        if self._rules.unreadable:
            log.warning("access rules left out: a network cannot be read", rules=self._rules.unreadable)

    def shuts_out(self, client: Client) -> bool:
        """Tell whether a client is refused for its address alone, before TLS, where it could read no reply."""
        if self._rules.are_none:
            return False
        session = Session(new_session_id(self._clock.now()), client)
        found = self._rules.decide(_facts(session, is_all_known=False))
        if found is None or not found.is_certain or found.rule.action not in _REFUSING:
            return False
        self._apply(session, found.rule, "connect")
        return True

    async def meet(self, session: Session) -> SmtpReply | None:
        """Decide about a client that has connected; gives the refusal with which the session ends."""
        session.admission.rules = self._rules
        return await self._decide(session, "connect")

    async def hello(self, session: Session) -> SmtpReply | None:
        """Decide about a client that has said its name; gives the refusal of HELO or EHLO."""
        return await self._decide(session, "hello")

    async def mail(self, session: Session) -> SmtpReply | None:
        """Decide finally, by the rules that are in force now; gives the refusal of MAIL."""
        session.admission.rules = self._rules
        return await self._decide(session, "mail", is_all_known=True)

    def note(self, session: Session) -> None:
        """Have the trace of the transaction tell which rule has let the client in, or what no rule could know."""
        admission, transaction = session.admission, session.transaction
        if transaction is None:
            return
        failure = "" if admission.names is None else admission.names.failure
        if admission.rule is not None:
            evidence = {"rule": admission.rule.name}
            finding = Finding(CHECK, admission.rule.action.value, evidence=evidence, stage=CONNECTION_STAGE)
        elif failure:
            finding = Finding(CHECK, "temperror", because=_unnamed(failure), stage=CONNECTION_STAGE)
        else:
            return
        transaction.add_findings((finding,))

    async def _decide(self, session: Session, stage: str, *, is_all_known: bool = False) -> SmtpReply | None:
        rules = session.admission.rules
        if rules is None or session.client_is_proxy:
            return None
        found = None
        if not rules.are_none:
            found = rules.decide(_facts(session, is_all_known=is_all_known))
            if found is not None and found.needs == _NAME_ALONE:
                session.admission.names = await names_of(session.client.address, self._resolver)
                found = rules.decide(_facts(session, is_all_known=is_all_known))
        return self._apply(session, found.rule if found is not None and found.is_certain else None, stage)

    def _apply(self, session: Session, rule: AccessRule | None, stage: str) -> SmtpReply | None:
        admission = session.admission
        admission.rule = rule
        session.is_allowed = rule is not None and rule.vouches
        is_held_back = rule is not None and rule.action is AccessAction.TARPIT
        admission.tarpit_seconds = rule.tarpit_seconds if rule is not None and is_held_back else 0.0
        if rule is None:
            return None
        if admission.counted != key_of(rule):
            admission.counted = key_of(rule)
            self._hits.count(rule)
        if rule.action not in _REFUSING:
            return None
        reply = replies.of_access_rule(rule, is_connecting=stage == "connect")
        because = f"access rule {rule.name}"
        if admission.names is not None and admission.names.failure:
            because = f"{because}; {_unnamed(admission.names.failure)}"
        return self._journal.refused(session, stage, reply, because=because, rule=rule.name)


def _facts(session: Session, *, is_all_known: bool) -> ClientFacts:
    """Say what is known; who is behind a proxy that does not name him has neither address nor name."""
    client, names = session.client, session.admission.names
    encrypted = True if client.tls else False if is_all_known else None
    if client.unnamed_by_proxy:
        return ClientFacts("", client.listener, NO_NAMES, client.helo or None, encrypted)
    return ClientFacts(client.address, client.listener, names, client.helo or None, encrypted)


def _unnamed(failure: str) -> str:
    return f"reverse DNS not known, so no rule holds by it: {failure}"
