"""What shops said and nobody can use any more goes after a while."""

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.catalog import repository_read
from vitrin.catalog.shop import repository_stock as stocks
from vitrin.kit import metrics
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger

EVERY_S: Final = 3_600.0
PARKED_KEEP: Final = timedelta(days=30)
GONE_KEEP: Final = timedelta(days=90)
ROWS_PER_TRANSACTION: Final = 1_000

EXPIRED = metrics.counter(
    "vitrin_catalog_shop_stock_expired_total",
    "Inventory items whose stock was given up, since no product named them for 30 days.",
)
_log = get_logger("vitrin.catalog.shop")


class ShopKeeping:
    """One pass over the brands per hour; several processes may run it."""

    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.sweep(stop)
            except SQLAlchemyError as error:
                _log.warning("shop_keeping_failed", error=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), EVERY_S)
            except TimeoutError:
                continue

    async def sweep(self, stop: asyncio.Event) -> None:
        brand: BrandId | None = None
        while not stop.is_set():
            async with self._database.read() as tx:
                brand = await repository_read.next_brand(tx, after=brand)
            if brand is None:
                return
            while await self._sweep(brand) == ROWS_PER_TRANSACTION and not stop.is_set():
                pass

    async def _sweep(self, brand: BrandId) -> int:
        """Rows deleted, of the table that had most."""
        now = self._clock()
        async with self._database.write([brand]) as tx:
            parked = await stocks.drop_parked(tx, brand, before=now - PARKED_KEEP, limit=ROWS_PER_TRANSACTION)
            gone = await stocks.drop_gone(tx, brand, before=now - GONE_KEEP, limit=ROWS_PER_TRANSACTION)
            tx.after_commit(lambda: EXPIRED.inc(parked))
        return max(parked, gone)
