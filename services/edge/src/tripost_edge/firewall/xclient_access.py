"""Who may say by XCLIENT whom it speaks for: those in the networks of the configuration in force."""

from tripost_edge.firewall.networks import Networks, is_of_this_machine


class XclientAccess:
    """The networks of proxies that are believed. Nobody, before a configuration names one."""

    def __init__(self) -> None:
        self.networks = Networks(())

    def permits(self, address: str, *, announced_by_proxy: bool) -> bool:
        """Whether the client may; one that a proxy announced is never on this machine, whatever that says."""
        return self.networks.contain(address) and not (announced_by_proxy and is_of_this_machine(address))
