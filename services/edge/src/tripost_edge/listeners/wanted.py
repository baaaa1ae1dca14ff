"""Which listeners there should be: those of the settings, as the configuration has them; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from tripost_edge.firewall.networks import Networks
from tripost_edge.listeners.context import ListenerProfile
from tripost_edge.listeners.tls import TlsPolicy, known_ciphers
from tripost_edge.settings import EdgeSettings
from tripost_shared.contracts.listeners import BUILT_IN, INTERMEDIATE_CIPHERS, ListenerConfig, ListenersConfig
from tripost_shared.settings import Listen

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A listener that is to be open."""

    address: Listen
    profile: ListenerProfile


def addresses_of_settings(settings: EdgeSettings) -> dict[str, tuple[Listen, str]]:
    """Give the address of each built-in listener that has one, and the setting that it comes from."""
    given = {
        "mx": (settings.mx_listen, "MX_LISTEN"),
        "submission": (settings.submission_listen, "SUBMISSION_LISTEN"),
        "submissions": (settings.submissions_listen, "SUBMISSIONS_LISTEN"),
        "proxy": (settings.proxy_listener, "PROXY_LISTENER"),
    }
    return {name: (listen, f"TRIPOST_EDGE_{variable}") for name, (listen, variable) in given.items() if listen}


def wanted_listeners(settings: EdgeSettings, config: ListenersConfig) -> dict[str, Wanted]:
    """Give the listeners of this node by their names. What cannot be used is left out, and told."""
    of_settings = {name: listen for name, (listen, _) in addresses_of_settings(settings).items()}
    configured = {listener.name: listener for listener in config.listeners}
    built_in = {name: BUILT_IN[name] for name in of_settings}
    return dict(_usable({**built_in, **configured}, of_settings, settings))


def _usable(
    listeners: Mapping[str, ListenerConfig], of_settings: Mapping[str, Listen], settings: EdgeSettings
) -> Iterator[tuple[str, Wanted]]:
    for name, listener in listeners.items():
        if not listener.enabled or (listener.nodes and settings.node not in listener.nodes):
            continue
        proxies = listener.proxies
        if name == "proxy":
            proxies = proxies or tuple(settings.proxy_trusted_networks)
        try:
            address = Listen.parse(listener.address) if listener.address else of_settings.get(name)
        except ValueError as error:
            log.error("listener left out", listener=name, because=str(error))  # noqa: TRY400 (the trace tells nothing)
            continue
        if address is not None:  # a built-in without one, which only its setting could give, is off
            yield name, Wanted(address, _profile(listener, proxies))


def _profile(listener: ListenerConfig, proxies: Sequence[str]) -> ListenerProfile:
    networks = Networks(proxies)
    if networks.invalid:
        log.warning("proxies left out: not in CIDR form", listener=listener.name, networks=networks.invalid)
    ciphers = known_ciphers(listener.ciphers)
    if len(ciphers) < len(listener.ciphers):
        odd = sorted({*listener.ciphers} - {*ciphers})
        log.warning("ciphers left out: not known here", listener=listener.name, ciphers=odd)
    return ListenerProfile(
        listener.name,
        listener.kind,
        tls=listener.tls,
        tls_policy=TlsPolicy(listener.tls_minimum, ciphers or INTERMEDIATE_CIPHERS),
        proxies=networks if proxies else None,
        mechanisms=listener.mechanisms,
        check_author=listener.check_author,
        own_limits=listener.limits,
    )
