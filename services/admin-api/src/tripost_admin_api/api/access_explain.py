"""Which access rule decides about a client, what it depends on, and what else keeps the client out or exempts it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BeforeValidator, Field

from tripost_admin_api.api import names
from tripost_admin_api.api.known_listeners import known_listeners, trusted_proxies
from tripost_admin_api.api.models import Incoming, Outgoing
from tripost_admin_api.api.parts import Parts, PartsNeeded
from tripost_admin_api.api.problems import invalid
from tripost_admin_api.api.status import ANSWER_WITHIN
from tripost_admin_api.configuration import documents
from tripost_admin_api.ports import ClusterUnavailable
from tripost_shared.access.facts import NO_NAMES, ClientFacts, HostNames, Unknown
from tripost_shared.access.rules import AccessRules, Candidate
from tripost_shared.access.warnings import KnownListener
from tripost_shared.contracts.access import AccessAction, AccessConfig
from tripost_shared.contracts.bans import Ban
from tripost_shared.contracts.nodes import TRUSTED_PROXIES
from tripost_shared.networks import parse_network

router = APIRouter(prefix="/access/explain", tags=["access rules"])

MOST_SHOWN: Final = 20
OPEN: Final = "open"
NONE: Final = "none"
OUTCOMES: Final = {
    AccessAction.ALLOW: "is let in, never banned, and not tested for talking too early",
    AccessAction.DENY: "is refused (5yz)",
    AccessAction.TEMPFAIL: "is refused for now (4yz)",
    AccessAction.TARPIT: "is let in, and every reply held back",
}
NEEDED: Final = {
    Unknown.NAME: "its name in the reverse DNS (--name)",
    Unknown.HELO: "what it says in HELO (--helo)",
    Unknown.TLS: "whether the session is encrypted (--tls, --no-tls)",
}


def _host_name(text: str) -> str:
    return names.domain(text) if text.strip() else ""


class ExplainQuery(Incoming):
    """A client, as far as it is known; what is left out may be anything."""

    address: Annotated[str, AfterValidator(names.client_address)] = Field(description="The client's IP address.")
    listener: str = Field("", max_length=40, description="The listener's name; empty: rules of all listeners alone.")
    helo: str | None = Field(None, max_length=255, description="What it says in HELO or EHLO.")
    name: Annotated[str, BeforeValidator(str), AfterValidator(_host_name)] | None = Field(
        None, max_length=255, description="Its name in the reverse DNS, which leads back to it; empty: it has none."
    )
    tls: bool | None = Field(None, description="Whether the session is encrypted when it comes to MAIL.")


class CandidateOut(Outgoing):
    """A rule that may decide. `needs`: what must be known first; empty for one that matches for certain."""

    rule: str
    action: AccessAction
    needs: list[Unknown]


class ExplainedBan(Outgoing):
    """A ban that holds the address."""

    network: str
    reason: str
    until: datetime


class Explanation(Outgoing):
    """What becomes of a client. `words` says all of it for people.

    `decision`: the action of the rule that decides, `none` where no rule matches, `open` where it depends on what is
    not given; then `candidates` are the rules that may decide, in order (20 at most).
    """

    address: str
    listener: str
    decision: str
    rule: str | None
    candidates: list[CandidateOut]
    ban: ExplainedBan | None
    loopback: bool
    relay_network: str | None
    trusted_proxy: str | None
    words: list[str]


@dataclass(frozen=True, slots=True)
class _Around:
    """What else there is to say of an address; `unknown` says what could not be found out."""

    ban: Ban | None
    is_loopback: bool
    relay_network: str | None
    proxy_network: str | None
    unknown: tuple[str, ...] = ()

    @property
    def exemption(self) -> str:
        """Why no ban concerns the address, "" where one does."""
        if self.is_loopback:
            return "it is on loopback"
        if self.relay_network is not None:
            return f"it is in the relay network {self.relay_network}"
        return f"it is a trusted proxy ({self.proxy_network})" if self.proxy_network is not None else ""


@router.get("")
async def explain_access(parts: PartsNeeded, query: Annotated[ExplainQuery, Query()]) -> Explanation:
    """Say which access rule decides about a client, or what that depends on; and what else concerns its address."""
    async with parts.database.reading() as session:
        config = await documents.read_access(session)
        edge = await documents.read_edge(session)
        proxies = (*edge.xclient_networks, *await trusted_proxies(session))
        listeners = {listener.name: listener for listener in await known_listeners(session)}
    listener = listeners.get(query.listener)
    if query.listener and listener is None:
        raise invalid("query.listener", f"there is no listener {query.listener!r}; accepted: {', '.join(listeners)}")
    candidates = explained(config, facts_of(query, listener))
    around = await _around(parts, query.address, edge.relay_networks, proxies)
    decided = candidates[0] if candidates and candidates[0].is_certain else None
    return Explanation(
        address=query.address,
        listener=query.listener,
        decision=decided.rule.action.value if decided else OPEN if candidates else NONE,
        rule=decided.rule.name if decided else None,
        candidates=[
            CandidateOut(rule=one.rule.name, action=one.rule.action, needs=sorted(one.needs)) for one in candidates
        ],
        ban=None if around.ban is None else ExplainedBan.model_validate(around.ban),
        loopback=around.is_loopback,
        relay_network=around.relay_network,
        trusted_proxy=around.proxy_network,
        words=[*_words(candidates), *_scope(config, query.listener), *_words_around(around, decided)],
    )


def explained(config: AccessConfig, facts: ClientFacts) -> list[Candidate]:
    """Give the rules that may decide, as edge asks them; one that is certain is the last. Pure."""
    return list(islice(AccessRules(config).candidates(facts), MOST_SHOWN))


def facts_of(query: ExplainQuery, listener: KnownListener | None) -> ClientFacts:
    """Give what is said of the client; a name that is given leads back to the address."""
    host_names = None
    if query.name is not None:
        host_names = HostNames((query.name,), (query.name,)) if query.name else NO_NAMES
    tls = True if query.tls is None and listener is not None and listener.implicit_tls else query.tls
    return ClientFacts(query.address, query.listener, host_names, query.helo, tls)


def _words(candidates: Sequence[Candidate]) -> Iterator[str]:
    if not candidates:
        yield "No access rule matches: the client is let in."
    for candidate in candidates:
        rule = candidate.rule
        outcome = f"the client {OUTCOMES[rule.action]}"
        if candidate.is_certain:
            yield f"Rule {rule.name} ({rule.action.value}) decides: {outcome}."
        else:
            needed = " and ".join(NEEDED[need] for need in sorted(candidate.needs))
            yield f"Rule {rule.name} ({rule.action.value}) decides if it matches, which depends on {needed}: {outcome}."
    if len(candidates) == MOST_SHOWN:
        yield "There may be more such rules."
    elif candidates and not candidates[-1].is_certain:
        yield "Where none of these matches, the client is let in."


def _scope(config: AccessConfig, listener: str) -> Iterator[str]:
    own = dict.fromkeys(rule.listener for rule in config.rules if rule.listener and rule.enabled)
    if own and not listener:
        yield f"Listeners with rules of their own were left out (--listener): {', '.join(own)}."


def _words_around(around: _Around, decided: Candidate | None) -> Iterator[str]:
    if around.ban is not None:
        until = f"{around.ban.until:%Y-%m-%d %H:%M:%S} UTC"
        said = f"{around.ban.network} is banned until {until} because of {around.ban.reason}"
        exemption = around.exemption
        if not exemption and decided is not None and decided.rule.action is AccessAction.ALLOW:
            exemption = f"rule {decided.rule.name} allows it"
        yield f"{said}; but that does not concern this client: {exemption}." if exemption else f"{said}."
    if around.is_loopback:
        yield "The address is on loopback: it is not banned, and its sessions are not counted by network."
    if around.relay_network is not None:
        yield f"It is in the relay network {around.relay_network}: it may relay without a login, and is not banned."
    if around.proxy_network is not None:
        yield (
            f"It is a trusted proxy ({around.proxy_network}): it is not banned, nor are its sessions counted by "
            "network; where it announces clients, by the PROXY protocol or XCLIENT, the rules are about those."
        )
    yield from around.unknown


async def _around(
    parts: Parts, address: str, relay_networks: Sequence[str], configured_proxies: Sequence[str]
) -> _Around:
    unknown: list[str] = []
    ban = None
    proxies = set(configured_proxies)
    try:
        now = parts.clock.now()
        holding = [ban for ban in await parts.cluster.bans() if ban.holds_at(now) and _holds(ban.network, address)]
        ban = max(holding, key=lambda ban: ban.until, default=None)
        nodes = await parts.cluster.nodes(ANSWER_WITHIN)
        proxies |= {one for node in nodes for one in node.details.get(TRUSTED_PROXIES, "").split(", ") if one}
        if not any(TRUSTED_PROXIES in node.details for node in nodes):
            unknown.append("Whether it is a trusted proxy by edge's own settings is not known: no edge answers.")
    except ClusterUnavailable as error:
        unknown.append(f"Whether it is banned, or a trusted proxy by edge's own settings, is not known: {error}.")
    proxy_network = next((one for one in sorted(proxies) if _holds(one, address)), None)
    relay_network = next((one for one in relay_networks if _holds(one, address)), None)
    return _Around(ban, ip_address(address).is_loopback, relay_network, proxy_network, tuple(unknown))


def _holds(network: str, address: str) -> bool:
    try:
        return ip_address(address) in parse_network(network)
    except ValueError:  # of another release, and not heeded
        return False
