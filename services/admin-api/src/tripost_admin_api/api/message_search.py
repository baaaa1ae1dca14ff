"""Which messages are looked for, as one statement that an index serves, however much is tracked.

What is searched for most is in an index with the time beside it: an address leads to its messages in the order in which
they are listed, so each part of the list costs what it shows. A domain leads to its own messages, which are sorted; for
one that has many, as ours has, all messages are walked through instead, from the newest one on: it meets enough of them
soon. For what is in no index they are walked through too: no further back than RECENT, unless told.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import aliased

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.models import Moment
from tripost_admin_api.api.searching import (
    RECIPIENT,
    SENDER,
    ClientAddress,
    MessageOrSession,
    SearchedAddress,
    SearchedSender,
    SearchText,
)
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.spool import Direction
from tripost_shared.contracts.tracking import STATUS_IN_WORDS, Role, halves, microseconds
from tripost_shared.database.models import TrackedAddress, TrackedMessage
from tripost_shared.mail.address import folded
from tripost_shared.mail.identifier import is_session_id

RECENT: Final = timedelta(days=7)  # longer than mail stays queued: what is deferred now is found
SLOW: Final = (
    f"Without `since`, and unless an id, a whole address or a login is given too: of the last {RECENT.days} days."
)

# Addresses in a domain; more are not sorted for each part of a list. A walk through ten million messages among which so
# many are spread evenly shows 500 of them after 100,000, which takes as long as to sort these.
MANY: Final = 50_000

Position = tuple[datetime, str]


class MessageQuery(paging.ListQuery):
    """Which messages: those that match all that is given."""

    id: MessageOrSession | None = Field(None, description="A message's or a session's id.")
    sender: SearchedSender | None = Field(None, description=SENDER)
    recipient: SearchedAddress | None = Field(None, description=RECIPIENT)
    status: Fact | None = Field(None, description=f"{STATUS_IN_WORDS}. {SLOW}")
    login: SearchText | None = Field(None, description="Whoever logged in, or tried to in vain: the whole user name.")
    client: ClientAddress | None = Field(None, description=f"The client's IP address. {SLOW}")
    direction: Direction | None = Field(None, description=f"Where it goes. {SLOW}")
    since: Moment | None = Field(None, description="First seen then or later.")
    until: Moment | None = Field(None, description="First seen before.")


def many_are_led_to(query: MessageQuery) -> Select[bool] | None:
    """Ask whether the domain that leads to messages has many, counting no further; None: no domain leads."""
    if query.recipient is None or _is_whole(query.recipient) or _leading_role(query) is not Role.RECIPIENT:
        return None
    matches = _address_is(TrackedAddress, Role.RECIPIENT, query.recipient)
    some = select(TrackedAddress.message_id).where(*matches).limit(MANY + 1).subquery()
    return select(func.count() > MANY).select_from(some)


def found(query: MessageQuery, before: Position | None, now: datetime, *, are_many: bool) -> Select[TrackedMessage]:
    """Select the messages from a position on, newest first, one more than the limit.

    `are_many`: what `many_are_led_to` said; then the messages' own indexes are asked, which give them in order.
    """
    page = page_of(query, before, now, are_many=are_many).subquery()
    at, identifier = page.c
    rows = select(TrackedMessage).join(page, TrackedMessage.id == identifier)
    return rows.order_by(at.desc(), identifier.desc())


def page_of(
    query: MessageQuery, before: Position | None, now: datetime, *, are_many: bool
) -> Select[datetime, str] | Select[int, str]:
    """Select their times and ids, so that nothing is read of messages that are not shown."""
    role = None if are_many else _leading_role(query)
    return _by_message(query, before, now) if role is None else _by_address(query, role, before, now)


def _leading_role(query: MessageQuery) -> Role | None:
    """Say which address the index of addresses is asked for; None where the messages' own indexes are as good.

    A sender that sends to everybody has more messages than each of the recipients, so the recipient goes first.
    """
    if query.id is not None:
        return None
    if _is_whole(query.recipient):
        return Role.RECIPIENT
    if query.login is not None:
        return Role.LOGIN
    return Role.RECIPIENT if query.recipient is not None and not _is_whole(query.sender) else None


def _by_message(query: MessageQuery, before: Position | None, now: datetime) -> Select[datetime, str]:
    at, identifier = TrackedMessage.first_at, TrackedMessage.id
    since = _since(query, now)
    page = select(at, identifier).where(*_of_message(query), *_of_addresses(query, None))
    if since is not None:
        page = page.where(at >= since)
    if query.until is not None:
        page = page.where(at < query.until)
    if before is not None:
        page = page.where(tuple_(at, identifier) < before)
    return page.order_by(at.desc(), identifier.desc()).limit(query.limit + 1)


def _by_address(query: MessageQuery, leading: Role, before: Position | None, now: datetime) -> Select[int, str]:
    at, identifier = TrackedAddress.first_at_us, TrackedAddress.message_id
    since = _since(query, now)
    page = select(at, identifier).where(*_address_is(TrackedAddress, leading, _wanted(query)[leading]))
    others = [*_of_message(query), *_of_addresses(query, leading)]
    if others:
        page = page.join(TrackedMessage, TrackedMessage.id == identifier).where(*others)
    if since is not None:
        page = page.where(at >= microseconds(since))
    if query.until is not None:
        page = page.where(at < microseconds(query.until))
    if before is not None:
        page = page.where(tuple_(at, identifier) < (microseconds(before[0]), before[1]))
    if leading is Role.RECIPIENT and not _is_whole(query.recipient):  # a message may go to several of a domain
        page = page.distinct()
    return page.order_by(at.desc(), identifier.desc()).limit(query.limit + 1)


def _since(query: MessageQuery, now: datetime) -> datetime | None:
    """Say how far back to look: as far as was asked, and where no index leads to what was, no further than RECENT."""
    if query.since is not None:
        return query.since
    is_narrow = query.id or query.login or _is_whole(query.sender) or _is_whole(query.recipient)
    is_walk = query.status or query.client or query.direction or (query.sender and query.recipient)
    return None if is_narrow or not is_walk else min(now, query.until or now) - RECENT


def _of_message(query: MessageQuery) -> Iterator[ColumnElement[bool]]:
    """Match what stands in the message's own row."""
    if query.id is not None:
        yield (TrackedMessage.session_id if is_session_id(query.id) else TrackedMessage.id) == query.id
    if query.sender is not None:
        local_part, domain = halves("" if query.sender == names.NULL_PATH else query.sender)
        yield TrackedMessage.sender_domain == domain
        if not query.sender.startswith("@"):
            yield TrackedMessage.sender_local_part == local_part
    for column, value in (
        (TrackedMessage.status, query.status),
        (TrackedMessage.client, query.client),
        (TrackedMessage.direction, query.direction),
    ):
        if value is not None:
            yield column == str(value)


def _of_addresses(query: MessageQuery, leading: Role | None) -> Iterator[ColumnElement[bool]]:
    """Match the messages' other addresses than the one that leads to them."""
    for role, wanted in _wanted(query).items():
        if role is not leading:
            named = aliased(TrackedAddress)
            matches = _address_is(named, role, wanted)
            yield select(named.message_id).where(named.message_id == TrackedMessage.id, *matches).exists()


def _wanted(query: MessageQuery) -> dict[Role, str]:
    wanted = {Role.RECIPIENT: query.recipient, Role.LOGIN: query.login and folded(query.login)}
    return {role: address for role, address in wanted.items() if address is not None}


def _address_is(table: type[TrackedAddress], role: Role, wanted: str) -> Iterator[ColumnElement[bool]]:
    local_part, domain = halves(wanted)
    yield table.domain == domain
    yield table.role == role.value
    if role is Role.LOGIN or _is_whole(wanted):
        yield table.local_part == local_part


def _is_whole(address: str | None) -> bool:
    """Tell whether an address is given that is neither all of a domain nor the null reverse-path."""
    return address is not None and address != names.NULL_PATH and not address.startswith("@")
