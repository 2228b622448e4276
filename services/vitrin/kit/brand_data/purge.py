"""Removes the rows of brands that have left, in short batches, resumable, and keeps the counts as a receipt.

Twice: at once, and again when every event that was under way has arrived (`SETTLED`), since a late one may have written
a row anew. Rows are removed by the owner's function `vitrin_purge`, for brands with an open row in `brand_purges` only:
no other role gains the right to delete, of the audit log for instance.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit import metrics
from vitrin.kit.brand_data.declared import Partitioned, Table
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.errors import VitrinError
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger

EVERY: Final = timedelta(seconds=20)
SETTLED: Final = timedelta(days=8)
"""Outbox rows are sent again for 7 days."""
BRANDS_AT_ONCE: Final = 20
ROWS_AT_ONCE: Final = 1_000
OF_REPLICA: Final = "select brand_id from access_brands where deleted"
"""Brands that have left, as every service but accounts knows them."""

_log = get_logger("vitrin.purge")
PURGED: Final = metrics.counter(
    "vitrin_brand_data_rows_purged_total", "Rows of brands that have left, removed, by table.", ("table",)
)
PURGING: Final = metrics.gauge(
    "vitrin_brand_data_brands_purging", "Brands that have left and whose rows are being removed (up to 20)."
)
_BEGIN: Final = text(
    "insert into brand_purges (brand_id, begun_at, due_at, counts) values (:brand, :now, :now, '{}')"
    " on conflict (brand_id) do nothing"
)
_PURGE: Final = text("select vitrin_purge(:table, :brand, :rows)")
_COUNT: Final = text(
    "update brand_purges set counts = counts || jsonb_build_object(cast(:table as text),"
    " coalesce((counts ->> :table)::bigint, 0) + :gone) where brand_id = :brand"
)
_PASSED: Final = text(
    "update brand_purges set due_at = begun_at + cast(:settled as interval), passes = passes + 1,"
    " finished_at = case when begun_at + cast(:settled as interval) <= :now then :now end"
    " where brand_id = :brand and finished_at is null returning finished_at"
)
_RECEIPT: Final = text(
    "select begun_at, passes, counts, finished_at from brand_purges where brand_id = :brand"
)
_REFERENCES: Final = text(
    "select child.relname as child, parent.relname as parent from pg_constraint c"
    " join pg_class child on child.oid = c.conrelid join pg_class parent on parent.oid = c.confrelid"
    " where c.contype = 'f' and child.oid <> parent.oid"
)


@dataclass(frozen=True, slots=True)
class PurgeReceipt:
    """Of one service. `finished_at` None: what arrives late is still to be removed."""

    begun_at: datetime
    passes: int
    counts: dict[str, int]
    finished_at: datetime | None


class Purger:
    """`due`: SQL that answers the `brand_id` of every brand that has left. `first`: done before any row is removed."""

    def __init__(
        self,
        database: WorkerDatabase,
        tables: Sequence[Table],
        clock: Clock,
        *,
        due: str = OF_REPLICA,
        first: Callable[[BrandId], Awaitable[None]] | None = None,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._database = database
        self._names = [table.name for table in tables if table.brand and _is_purged(table)]
        self._clock = clock
        self._first = first
        self._rows_at_once = rows_at_once
        self._due = text(
            f"select left_brands.brand_id from ({due}) left_brands left join brand_purges p using (brand_id)"
            f" where p.brand_id is null or p.finished_at is null and p.due_at <= :now limit {BRANDS_AT_ONCE}"
        )

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            busy = False
            try:
                busy = await self.round(stop)
            except SQLAlchemyError as error:
                _log.warning("purge_waits", reason=type(error).__name__)
            if not busy:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=EVERY.total_seconds())

    async def round(self, stop: asyncio.Event) -> bool:
        """True when there may be more to do."""
        async with self._database.read() as session:
            brands = [BrandId(row.brand_id) for row in await session.all(self._due, {"now": self._clock()})]
        PURGING.set(len(brands))
        for brand in brands:
            try:
                await self._purge(brand, stop)
            except (
                SQLAlchemyError,
                VitrinError,
            ) as error:  # the next one's rows must not wait for this one's
                _log.warning(
                    "purge_failed", brand=str(brand), reason=f"{type(error).__name__}: {error}"[:500]
                )
        return len(brands) == BRANDS_AT_ONCE and not stop.is_set()

    async def receipt(self, brand: BrandId) -> PurgeReceipt | None:
        async with self._database.read() as session:
            row = await session.one_or_none(_RECEIPT, {"brand": brand})
        return (
            None if row is None else PurgeReceipt(row.begun_at, row.passes, dict(row.counts), row.finished_at)
        )

    async def _purge(self, brand: BrandId, stop: asyncio.Event) -> None:
        if self._first is not None:
            await self._first(brand)
        async with self._database.write([brand]) as tx:
            await tx.execute(_BEGIN, {"brand": brand, "now": self._clock()})
            names = await _children_first(tx, self._names)
        for name in names:
            gone = self._rows_at_once
            while gone == self._rows_at_once:
                if stop.is_set():
                    return
                gone = await self._batch(brand, name)
        async with self._database.write([brand]) as tx:
            row = await tx.one_or_none(_PASSED, {"brand": brand, "now": self._clock(), "settled": SETTLED})
        _log.info("brand_purged", brand=str(brand), finished=row is not None and row.finished_at is not None)

    async def _batch(self, brand: BrandId, name: str) -> int:
        async with self._database.write([brand]) as tx:
            params: dict[str, Any] = {"table": name, "brand": brand}
            gone = int(await tx.scalar(_PURGE, {**params, "rows": self._rows_at_once}))
            if gone:
                await tx.execute(_COUNT, {**params, "gone": gone})
        PURGED.labels(name).inc(gone)
        return gone


def _is_purged(table: Table) -> bool:
    """What whole days take away before the second pass is left to them: those tables have no index by brand."""
    short = isinstance(table.kept, Partitioned) and timedelta(days=table.kept.days) < SETTLED
    return not table.outlives and not short


async def _children_first(session: ReadSession, names: Sequence[str]) -> list[str]:
    order: TopologicalSorter[str] = TopologicalSorter({name: set() for name in names})
    for row in await session.all(_REFERENCES):
        if row.child in names and row.parent in names:
            order.add(row.parent, row.child)
    return list(order.static_order())
