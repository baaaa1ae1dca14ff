"""What all tables share: their base, and the types of their columns."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from tripost_shared.mail.address import folded

MAX_ADDRESS: Final = 400  # characters: 64 of local part, each with a backslash, two quotes, an at, 255 of domain
BIG_KEY: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER PRIMARY KEY only
JSON_TEXT: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Folded(TypeDecorator[str]):
    """Text that is stored and compared as `tripost_shared.mail.address.folded` gives it: no writer can forget it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Fold it by Unicode's rules, which SQLite's own lower() does not know."""
        return value if value is None else folded(value)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, stores it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give aware times."""
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value


class Base(DeclarativeBase):
    """Where all tables are listed."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON_TEXT}  # noqa: RUF012 (SQLAlchemy's way)
