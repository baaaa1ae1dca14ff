"""Mail is queued for what is to be removed: that is told first, and done by `force` alone."""

import sqlite3
from typing import Any

import pytest

from admin_api import Api
from admin_service import RunningAdmin
from tripost_admin_api.api import queued_for
from tripost_shared.contracts.queue import MAILBOX_HOP, DeliveryState
from tripost_shared.database.models import QueuedDelivery, QueuedMessage
from tripost_shared.mail.identifier import message_id_of, new_session_id

V1 = "/api/v1"


async def queued(api: Api, *deliveries: tuple[str, str]) -> None:
    """Queue a message with deliveries (recipient, next hop)."""
    now = api.clock.now()
    identifier = message_id_of(new_session_id(now), 1)
    times: dict[str, Any] = {"created_at": now, "next_attempt_at": now, "expires_at": now}
    async with api.parts.database.writing() as session:
        session.add(
            QueuedMessage(
                id=identifier, reverse_path="", size_octets=1, received_at=now, content=identifier, spooled=b""
            )
        )
        await session.flush()
        session.add_all(
            QueuedDelivery(
                message_id=identifier, recipient=recipient, next_hop=hop, state=state.value, attempts=1, **times
            )
            for (recipient, hop), state in zip(deliveries, [*DeliveryState] * len(deliveries), strict=False)
        )


async def directory(api: Api) -> None:
    await api.add("domains", name="local.test")
    for local_part in ("user", "other"):
        await api.add("mailboxes", address=f"{local_part}@local.test")
    await api.add("routes", domain="far.example", host="smart.example", port=587)
    await api.add("routes", domain=".wide.example", host="smart.example", port=587)
    await api.add("routes", domain="mx.example")
    await api.add("routes", domain=".mx.example")


MAILBOX = "mailboxes/user@local.test"
DOMAIN = "domains/local.test?with_contents=true"
SMARTHOST = "smart.example:587"


@pytest.mark.parametrize(
    ("removed", "deliveries", "number"),
    [
        pytest.param(MAILBOX, [("User@local.test", MAILBOX_HOP)], 1, id="a mailbox, in whatever case"),
        pytest.param(
            MAILBOX, [("user+a@local.test", MAILBOX_HOP), ("user+b@local.test", "")], 2, id="its address with a detail"
        ),
        pytest.param(
            DOMAIN,
            [("a@local.test", MAILBOX_HOP), ("b@local.test", ""), ("c@local.test", MAILBOX_HOP)],
            3,
            id="a domain",
        ),
        pytest.param("routes/far.example", [("a@far.example", SMARTHOST)], 1, id="a route to a smarthost"),
        pytest.param("routes/.wide.example", [("a@b.wide.example", SMARTHOST)], 1, id="a route of all below a domain"),
        pytest.param("routes/mx.example", [("a@mx.example", "mx.example")], 1, id="a route by MX"),
        pytest.param("routes/.mx.example", [("a@b.mx.example", "b.mx.example")], 1, id="a route by MX of all below"),
    ],
)
async def test_what_mail_is_queued_for_is_removed_by_force_only(
    api: Api, removed: str, deliveries: list[tuple[str, str]], number: int
) -> None:
    """A delivery counts whatever its state: one that is held would fail once it is released."""
    await directory(api)
    await queued(api, *deliveries)
    refused = await api.admin.delete(f"{V1}/{removed}")
    assert refused.status_code == 409
    are = "delivery is" if number == 1 else "deliveries are"
    assert refused.json()["detail"].startswith(f"{number} {are} queued for ")
    assert "force=true" in refused.json()["detail"]
    assert (await api.reader.get(f"{V1}/{removed.partition('?')[0]}")).status_code == 200
    and_force = f"{removed}{'&' if '?' in removed else '?'}force=true"
    assert (await api.admin.delete(f"{V1}/{and_force}")).status_code == 204


@pytest.mark.parametrize(
    "removed", [MAILBOX, DOMAIN, "routes/far.example", "routes/.wide.example", "routes/mx.example"]
)
async def test_mail_that_is_queued_for_others_keeps_nothing(api: Api, removed: str) -> None:
    await directory(api)
    await queued(
        api,
        ("user@other.example", MAILBOX_HOP),  # a domain that was removed by force
        ("xuser@local.test", "far.example"),  # of before the domain was ours
        ("user@notfar.example", SMARTHOST),
        ("user@wide.example", SMARTHOST),
        ("user@notmx.example", "notmx.example"),
    )
    assert (await api.admin.delete(f"{V1}/{removed}")).status_code == 204


async def test_a_route_of_any_domain_is_kept_by_all_mail_for_its_smarthost(api: Api) -> None:
    await api.add("routes", domain="*", host="smart.example", port=587)
    await queued(api, ("a@one.example", SMARTHOST), ("b@two.example", SMARTHOST), ("user@local.test", MAILBOX_HOP))
    refused = await api.admin.delete(f"{V1}/routes/*")
    assert refused.json()["detail"].startswith("2 deliveries are queued for the route *, ")


async def test_a_long_queue_is_read_in_part_and_then_in_doubt_nothing_is_removed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued_for, "MOST_READ", 2)
    await directory(api)
    await queued(api, *((f"{name}@local.test", MAILBOX_HOP) for name in ("other", "other+a", "other+b")))
    refused = await api.admin.delete(f"{V1}/{MAILBOX}")
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("Of the first 2 deliveries looked at, 0 are queued for user@local.test")


def test_the_command_line_tells_the_number_and_removes_by_force(admin: RunningAdmin) -> None:
    assert admin.quick_cli("domain", "add", "a.test").returncode == 0
    assert admin.quick_cli("mailbox", "add", "user@a.test", "--no-password").returncode == 0
    assert admin.quick_cli("route", "add", "far.example", "--host", "smart.example").returncode == 0
    times = ("2026-01-01 00:00:00",) * 3
    with sqlite3.connect(admin.home / "tripost.sqlite") as connection:
        connection.execute(
            "INSERT INTO queued_messages (id, reverse_path, size_octets, received_at, content, spooled)"
            " VALUES ('1', '', 1, '2026-01-01 00:00:00', 'x', x'')"
        )
        connection.executemany(
            "INSERT INTO queued_deliveries (message_id, recipient, original_recipient, notify, next_hop, state,"
            " attempts, last_reply, claimed_by, created_at, next_attempt_at, expires_at)"
            " VALUES ('1', ?, '', '', ?, 'held', 1, '', '', ?, ?, ?)",
            [("user@a.test", MAILBOX_HOP, *times), ("b@far.example", "smart.example:25", *times)],
        )
    for command in (
        ("mailbox", "remove", "user@a.test"),
        ("domain", "remove", "a.test"),
        ("route", "remove", "far.example"),
    ):
        refused = admin.quick_cli(*command)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert refused.stderr.startswith("tripost: 1 delivery is queued for ")
        assert admin.quick_cli(*command, "--force").returncode == 0
    with sqlite3.connect(admin.home / "tripost.sqlite") as connection:
        connection.execute("DELETE FROM queued_deliveries")
        connection.execute("DELETE FROM queued_messages")
