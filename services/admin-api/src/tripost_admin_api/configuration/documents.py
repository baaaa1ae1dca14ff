"""The documents that the tiers watch, as they are kept in the database: each with the revision of its last change."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_shared.contracts.access import ACCESS_KEY, AccessConfig
from tripost_shared.contracts.config import (
    DIRECTORY_KEY,
    EDGE_KEY,
    FILTER_KEY,
    DirectoryChange,
    EdgeConfig,
    FilterConfig,
)
from tripost_shared.contracts.control import CONTROL_KEY, ControlConfig
from tripost_shared.contracts.listeners import LISTENERS_KEY, ListenersConfig
from tripost_shared.database.models import ConfigDocument

Document = EdgeConfig | FilterConfig | DirectoryChange | AccessConfig | ControlConfig | ListenersConfig

KINDS: Final[Mapping[str, type[Document]]] = MappingProxyType(
    {
        EDGE_KEY: EdgeConfig,
        FILTER_KEY: FilterConfig,
        DIRECTORY_KEY: DirectoryChange,
        ACCESS_KEY: AccessConfig,
        CONTROL_KEY: ControlConfig,
        LISTENERS_KEY: ListenersConfig,
    }
)


async def read_all(session: AsyncSession) -> dict[str, Document]:
    """Give every document by its key; one that was never changed has its defaults and revision 0."""
    rows = {row.key: row.body for row in await session.scalars(select(ConfigDocument))}
    return {key: msgspec.convert(rows.get(key, {}), kind) for key, kind in KINDS.items()}


async def read_filter(session: AsyncSession) -> FilterConfig:
    """Give how mail is judged."""
    return msgspec.convert(await _body(session, FILTER_KEY), FilterConfig)


async def read_edge(session: AsyncSession) -> EdgeConfig:
    """Give how clients are met."""
    return msgspec.convert(await _body(session, EDGE_KEY), EdgeConfig)


async def read_access(session: AsyncSession) -> AccessConfig:
    """Give the access rules."""
    return msgspec.convert(await _body(session, ACCESS_KEY), AccessConfig)


async def read_control(session: AsyncSession) -> ControlConfig:
    """Give the control rules and rates."""
    return msgspec.convert(await _body(session, CONTROL_KEY), ControlConfig)


async def read_listeners(session: AsyncSession) -> ListenersConfig:
    """Give edge's listeners."""
    return msgspec.convert(await _body(session, LISTENERS_KEY), ListenersConfig)


async def write(session: AsyncSession, key: str, document: Document, revision: int) -> None:
    """Replace the document, stamped with the revision of this change."""
    body: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(document, revision=revision))
    row = await session.get(ConfigDocument, key)
    if row is None:
        session.add(ConfigDocument(key=key, body=body))
    else:
        row.body = body


async def _body(session: AsyncSession, key: str) -> dict[str, Any]:
    row = await session.get(ConfigDocument, key)
    return {} if row is None else row.body
