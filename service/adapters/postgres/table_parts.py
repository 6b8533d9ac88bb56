"""What all tables are made of."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, DateTime, MetaData, Text, text

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

Instant: Final = DateTime(timezone=True)
#: Compared by code point, whatever the database's locale (CONTRACT section 2).
CodePoints: Final = Text(collation="C")


def column(name: str, kind: Any, *rest: Any, nullable: bool = False, **options: Any) -> Column[Any]:
    """A column that is there in every row unless said otherwise."""
    return Column(name, kind, *rest, nullable=nullable, **options)


def now(name: str) -> Column[Any]:
    """An instant of real time, by default that of the row's transaction."""
    return column(name, Instant, server_default=text("now()"))
