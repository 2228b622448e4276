"""What changed at a shop since it was last asked: finds what a missed webhook hid."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import DataError

from vitrin.catalog.orders.metrics import UNREADABLE
from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import metrics, outcome, repository_deliveries, repository_shops
from vitrin.catalog.shop.claiming import Lost
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.shop.intake import Intake, differs
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.logs import get_logger
from vitrin.kit.seal import SealRefused, SealUnavailable
from vitrin.platforms.shop import News, NewsKind, ShopOrder, ShopProduct, ShopSource

OVERLAP: Final = timedelta(minutes=5)
"""Clocks differ, and a shop's index is behind its database."""
PAGES_MAX: Final = 500
"""More than that is no delta: the shop is loaded anew."""


_log = get_logger("vitrin.catalog.reconciling")


class Reconciling:
    def __init__(
        self, *, database: WorkerDatabase, intake: Intake, effects: Effects, places: Places, clock: Clock
    ) -> None:
        self._database = database
        self._intake = intake
        self._effects = effects
        self._handlers = effects.handlers()
        self._places = places
        self._clock = clock

    async def delta(self, row: ShopRow, shop: Shop, source: ShopSource, lost: Lost) -> bool:
        """Products and orders; False when there was too much, or it was cut off. Raises PlatformFailure. Without the
        keys of personal data orders are left for the next time."""
        began = self._clock()
        if not await self._products(row, shop, source, lost, row.products_since or row.created_at):
            return False
        async with self._database.write([row.brand_id]) as tx:
            await repository_shops.change(tx, row.key, products_since=began)
        if NewsKind.ORDER in self._handlers:
            try:
                if not await self._orders(row, shop, source, lost, row.orders_since or row.created_at):
                    return False
            except SealUnavailable:
                _log.warning("orders_wait_for_keys", connection=str(row.connection_id))
                return True
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
        """Raises SealUnavailable. An order that cannot be taken is set aside and stops no other."""
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            if lost:
                return False
            page = await source.orders_since(since - OVERLAP, cursor)
            for order_id, where in page.unreadable.items():
                await self._set_aside(row, order_id, "unreadable", where)
            for order in page.orders:
                try:
                    await self._order(row, shop, order)
                except (SealRefused, ValueError, DataError) as error:
                    _log.warning(
                        "order_set_aside", connection=str(row.connection_id), error=repr(error)[:300]
                    )
                    await self._set_aside(row, order.order_id, "broke", type(error).__name__)
            if page.cursor is None:
                return True
            cursor = page.cursor
        return False

    async def _order(self, row: ShopRow, shop: Shop, order: ShopOrder) -> None:
        news = News(kind=NewsKind.ORDER, subject=f"order:{order.order_id}", at=order.updated_at, order=order)
        prepared = await self._effects.prepare(shop, news)
        async with self._database.write([row.brand_id]) as tx:
            place = await self._places.of(tx, row.brand_id)
            await self._handlers[NewsKind.ORDER](
                tx, shop, news, place=place, received_at=self._clock(), prepared=prepared
            )

    async def _set_aside(self, row: ShopRow, order_id: str, code: str, where: str) -> None:
        words = outcome.problem(
            code,
            f"The order could not be taken: {where}"[:500],
            "Correct the order at the shop, or report this; when it changes there it is read again.",
        )
        async with self._database.write([row.brand_id]) as tx:
            await repository_deliveries.set_aside(
                tx,
                row.key,
                platform=row.platform,
                kind=NewsKind.ORDER.value,
                subject=f"order:{order_id}",
                problem=words,
                now=self._clock(),
            )
            tx.after_commit(lambda: UNREADABLE.labels(row.platform).inc())
