"""The network policies open the cluster's pods to whom they must, and no further."""

from typing import Any, Final

from unit.deploy.deployments import manifests

FROM_ANYWHERE: Final = {"mail-in"}  # the Internet's mail


def policies() -> list[dict[str, Any]]:
    return [one for one in manifests() if one["kind"] == "NetworkPolicy"]


def test_mail_alone_is_let_in_from_anywhere() -> None:
    """A pod elsewhere in the Kubernetes cluster reaches neither admin-api nor metrics."""
    open_ones = {
        policy["metadata"]["name"]
        for policy in policies()
        for rule in policy["spec"].get("ingress", ())
        if not rule.get("from")
    }
    assert open_ones == FROM_ANYWHERE


def test_nothing_but_the_denial_is_for_every_pod() -> None:
    """What one service needs, such as name resolution, is not given to nats-server as well."""
    assert [policy["metadata"]["name"] for policy in policies() if not policy["spec"]["podSelector"]] == ["deny-all"]
