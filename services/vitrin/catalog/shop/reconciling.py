"""What changed at a shop since it was last asked: finds what a missed webhook hid."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import metrics, repository_shops
from vitrin.catalog.shop.claiming import Lost
from vitrin.catalog.shop.handlers import Handlers
from vitrin.catalog.shop.intake import Intake, differs
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.platforms.shop import News, NewsKind, ShopProduct, ShopSource

OVERLAP: Final = timedelta(minutes=5)
"""Clocks differ, and a shop's index is behind its database."""
PAGES_MAX: Final = 500
"""More than that is no delta: the shop is loaded anew."""


class Reconciling:
    def __init__(
        self, *, database: WorkerDatabase, intake: Intake, handlers: Handlers, places: Places, clock: Clock
    ) -> None:
        self._database = database
        self._intake = intake
        self._handlers = handlers
        self._places = places
        self._clock = clock

    async def delta(self, row: ShopRow, shop: Shop, source: ShopSource, lost: Lost) -> bool:
        """Products and orders; False when there was too much, or it was cut off. Raises PlatformFailure."""
        began = self._clock()
        if not await self._products(row, shop, source, lost, row.products_since or row.created_at):
            return False
        async with self._database.write([row.brand_id]) as tx:
            await repository_shops.change(tx, row.key, products_since=began)
        if NewsKind.ORDER in self._handlers:
            if not await self._orders(row, shop, source, lost, row.orders_since or row.created_at):
                return False
            async with self._database.write([row.brand_id]) as tx:
                await repository_shops.change(tx, row.key, orders_since=began)
        return True

    async def _products(
        self, row: ShopRow, shop: Shop, source: ShopSource, lost: Lost, since: datetime
    ) -> bool:
        async def after(
            tx: WriteSession, part: Sequence[ShopProduct], applied: Sequence[Applied], last: bool
        ) -> None:
            missed = sum(differs(one) for one in applied)
            tx.after_commit(lambda: metrics.MISSED.labels(row.platform).inc(missed))

        cursor: str | None = None
        for _ in range(PAGES_MAX):
            if lost:
                return False
            page = await source.products_since(since - OVERLAP, cursor)
            if page.products:
                await self._intake.take(shop, page.products, page.levels, after)
            if page.cursor is None:
                return True
            cursor = page.cursor
        return False

    async def _orders(
        self, row: ShopRow, shop: Shop, source: ShopSource, lost: Lost, since: datetime
    ) -> bool:
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            if lost:
                return False
            orders, cursor = await source.orders_since(since - OVERLAP, cursor)
            for order in orders:
                news = News(
                    kind=NewsKind.ORDER,
                    subject=f"order:{order.order_id}",
                    at=order.updated_at,
                    order=order,
                )
                async with self._database.write([row.brand_id]) as tx:
                    place = await self._places.of(tx, row.brand_id)
                    await self._handlers[NewsKind.ORDER](
                        tx, shop, news, place=place, received_at=self._clock()
                    )
            if cursor is None:
                return True
        return False
