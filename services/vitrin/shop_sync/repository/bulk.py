"""Many rows in one statement: one array per column."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import TextClause, text


def arrays(columns: Mapping[str, str]) -> str:
    """`unnest(...)` over one parameter per column, named like the column. `columns`: name -> PostgreSQL type."""
    return "unnest(" + ", ".join(f"cast(:{name} as {kind}[])" for name, kind in columns.items()) + ")"


def insert(table: str, columns: Mapping[str, str], conflict: str = "") -> TextClause:
    names = ", ".join(columns)
    return text(f"insert into {table} ({names}) select * from {arrays(columns)} {conflict}")


def transpose(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows to the parameters of `arrays`."""
    if not rows:
        return {name: [] for name in columns}
    return {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}
