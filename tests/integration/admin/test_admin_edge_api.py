"""How clients are met: XCLIENT networks, and the check of authors."""

import pytest

from admin_api import Api
from tripost_admin_api.configuration.documents import read_edge
from tripost_shared.contracts.config import EdgeConfig

V1 = "/api/v1"


async def _edge(api: Api) -> EdgeConfig:
    async with api.parts.database.reading() as session:
        return await read_edge(session)


async def test_xclient_networks_are_added_listed_and_removed(api: Api) -> None:
    added = await api.add("xclient-networks", network="192.0.2.25")
    assert added.headers["location"] == f"{V1}/xclient-networks/192.0.2.25/32"
    assert (await _edge(api)).xclient_networks == ("192.0.2.25/32",)
    assert (await _edge(api)).relay_networks == ()
    assert (await api.reader.get(f"{V1}/xclient-networks")).json()["items"] == [{"network": "192.0.2.25/32"}]
    again = await api.admin.post(f"{V1}/xclient-networks", json={"network": "192.0.2.25"})
    assert (again.status_code, again.json()["detail"]) == (409, "192.0.2.25/32 may use XCLIENT already.")
    assert (await api.admin.delete(f"{V1}/xclient-networks/192.0.2.25")).status_code == 204
    gone = await api.admin.delete(f"{V1}/xclient-networks/192.0.2.25")
    assert (gone.status_code, gone.json()["detail"]) == (404, "192.0.2.25/32 is no xclient network.")
    assert [entry["action"] for entry in await api.audited()] == ["xclient-network.create", "xclient-network.delete"]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "192.0.0.0/7", "::/0", "192.0.2.7/24", "proxy.example"])
async def test_what_is_no_network_of_ones_own_is_refused(api: Api, network: str) -> None:
    refused = await api.admin.post(f"{V1}/xclient-networks", json={"network": network})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.network")
    assert (await _edge(api)).xclient_networks == ()


async def test_the_check_of_authors_is_switched_off_and_on(api: Api) -> None:
    assert (await api.reader.get(f"{V1}/author-check")).json() == {"enabled": True}
    for enabled in (False, True):
        assert (await api.admin.put(f"{V1}/author-check", json={"enabled": enabled})).json() == {"enabled": enabled}
        assert (await _edge(api)).check_author is enabled
    refused = await api.admin.put(f"{V1}/author-check", json={"enabled": "maybe"})
    assert refused.status_code == 422
    assert (await api.reader.put(f"{V1}/author-check", json={"enabled": False})).status_code == 403
