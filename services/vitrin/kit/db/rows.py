"""Many rows into one statement: arrays while they are few, a binary COPY into a temporary table beyond that.

A temporary table costs about a millisecond and a row in the system catalogs, which a single change should not pay;
arrays in text format are ten times slower than COPY from some hundred rows on (measured, performance.md finding 6).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from vitrin.kit.db.session import WriteSession

ARRAY_ROWS_MAX: Final = 50


class RowSource(NamedTuple):
    """`sql` stands in FROM and has the alias `new`; `params` go with the statement."""

    sql: str
    params: dict[str, Any]


async def row_source(
    tx: WriteSession, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> RowSource:
    """`columns` gives name and PostgreSQL type; JSON travels as text and is cast by the statement."""
    if len(rows) > ARRAY_ROWS_MAX:
        table = await tx.copy_to_temp(name, columns, rows)
        return RowSource(f"{table} as new", {})
    arrays = ", ".join(f"cast(:new_{column} as {kind}[])" for column, kind in columns.items())
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    params = {f"new_{column}": list(value) for column, value in zip(columns, values, strict=True)}
    return RowSource(f"unnest({arrays}) as new({', '.join(columns)})", params)
