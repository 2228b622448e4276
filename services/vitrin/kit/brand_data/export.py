"""All rows that a service keeps of one brand, as lines of JSON.

    {"service": "catalog", "brand_id": "...", "format": 1, "tables": ["items", ...]}
    {"table": "items", "row": {...}}                       in the order of the table's primary key
    {"table": "items", "rows": 2}                          after the last of each table
    {"end": true, "rows": 2}                               without this line the export was cut off

A page is one transaction: what changes meanwhile is in it as it was before or after, whole. Binary values are
hexadecimal (`\\x...`), times ISO 8601. Columns with secrets are left out; personal data that was sealed is opened, and
`null` where the person was erased.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import text

from vitrin.kit.brand_data.declared import Table
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId
from vitrin.kit.seal import Erased, Sealer, unpack

FORMAT: Final = 1
PAGE_ROWS: Final = 500
_PRIMARY_KEY: Final = text(
    "select a.attname, format_type(a.atttypid, a.atttypmod) as kind from pg_index i"
    " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
    " where i.indrelid = to_regclass(:name) and i.indisprimary"
    " order by array_position(i.indkey::int2[], a.attnum)"
)


@dataclass(frozen=True, slots=True)
class _Key:
    columns: tuple[str, ...]
    kinds: tuple[str, ...]


class BrandExport:
    """Of one service. `sealer`: for services that keep sealed columns."""

    def __init__(
        self,
        service: str,
        database: AppDatabase,
        tables: Sequence[Table],
        *,
        sealer: Sealer | None = None,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        """ValueError without a sealer for sealed columns."""
        self._service = service
        self._database = database
        self._tables = [table for table in tables if table.brand and not table.left_out]
        self._sealer = sealer
        self._page_rows = page_rows
        if sealer is None and any(table.sealed for table in self._tables):
            raise ValueError(f"{service} keeps sealed columns, and its export has nothing to open them with")

    async def lines(self, brand: BrandId) -> AsyncIterator[bytes]:
        """SealUnavailable, SealRefused, SealCannotOpen where sealed columns cannot be opened; the export is cut off."""
        names = [table.name for table in self._tables]
        yield _line({"service": self._service, "brand_id": str(brand), "format": FORMAT, "tables": names})
        total = 0
        for table in self._tables:
            rows = 0
            async for page in self._pages(brand, table):
                yield b"".join(_line({"table": table.name, "row": row}) for row in page)
                rows += len(page)
            yield _line({"table": table.name, "rows": rows})
            total += rows
        yield _line({"end": True, "rows": total})

    async def _pages(self, brand: BrandId, table: Table) -> AsyncIterator[list[dict[str, Any]]]:
        async with self._database.read(brand) as session:
            key = await _key_of(session, table.name)
        after: Sequence[str] | None = None
        while True:
            statement, params = _page(table, key, after, self._page_rows)
            async with self._database.read(brand) as session:
                found = await session.all(
                    text(statement), {"brand": brand, "secret": [*table.secret], **params}
                )
            if found:
                after = found[-1].position
                yield await self._opened(brand, table, [dict(row.whole) for row in found])
            if len(found) < self._page_rows:
                return

    async def _opened(self, brand: BrandId, table: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for column, context in table.sealed.items():
            assert self._sealer is not None
            there = [row for row in rows if row[column] is not None]
            sealed = [unpack(bytes.fromhex(row[column].removeprefix("\\x"))) for row in there]
            for row, fields in zip(
                there, await self._sealer.open_many(brand, sealed, context=context), strict=True
            ):
                row[column] = None if isinstance(fields, Erased) else dict(fields)
        return rows


def _page(table: Table, key: _Key, after: Sequence[str] | None, rows: int) -> tuple[str, Mapping[str, str]]:
    """The values of a position travel as text and are compared as what they are."""
    columns = ", ".join(f't."{column}"' for column in key.columns)
    position = ", ".join(f't."{column}"::text' for column in key.columns)
    statement = (
        f"select to_jsonb(t) - cast(:secret as text[]) as whole, array[{position}] as position"
        f' from "{table.name}" t where t.brand_id = :brand'
    )
    params: dict[str, str] = {}
    if after is not None:
        params = {f"after_{number}": value for number, value in enumerate(after)}
        values = ", ".join(
            f"cast(cast(:after_{number} as text) as {kind})" for number, kind in enumerate(key.kinds)
        )
        statement += f" and ({columns}) > ({values})"
    return f"{statement} order by {columns} limit {rows}", params


async def _key_of(session: ReadSession, name: str) -> _Key:
    found = await session.all(_PRIMARY_KEY, {"name": f'"{name}"'})
    if not found:
        raise LookupError(f"there is no table {name}, or it has no primary key")
    return _Key(tuple(row.attname for row in found), tuple(row.kind for row in found))


def _line(document: Mapping[str, object]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
