"""Many rows in one statement: one array per column while they are few, a binary COPY beyond that (`kit.db.rows`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import WriteSession


def arrays(columns: Mapping[str, str]) -> str:
    """`unnest(...)` over one parameter per column, named like the column. `columns`: name -> PostgreSQL type."""
    return "unnest(" + ", ".join(f"cast(:{name} as {kind}[])" for name, kind in columns.items()) + ")"


def transpose(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows to the parameters of `arrays`."""
    if not rows:
        return {name: [] for name in columns}
    return {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert of whole rows, which `conflict` may turn into an update. JSON is given as text."""

    table: str
    columns: Mapping[str, str]
    conflict: str = ""

    async def rows(self, tx: WriteSession, rows: Sequence[Sequence[Any]]) -> None:
        """In their order; nothing for no rows."""
        if not rows:
            return
        kinds = {name: "text" if kind == "jsonb" else kind for name, kind in self.columns.items()}
        source = await row_source(tx, f"{self.table}_new", kinds, rows)
        chosen = ", ".join(
            f"new.{name}::jsonb" if kind == "jsonb" else f"new.{name}" for name, kind in self.columns.items()
        )
        names = ", ".join(self.columns)
        await tx.execute(
            text(f"insert into {self.table} ({names}) select {chosen} from {source.sql} {self.conflict}"),
            source.params,
        )
