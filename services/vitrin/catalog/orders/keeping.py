"""How long orders are kept, the erasure of a whole shop, and what is due: a loop that goes on where it was."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.catalog.orders import messages, metrics, people, repository, repository_privacy
from vitrin.catalog.orders.attention import URGENT, PrivacyNotices
from vitrin.catalog.orders.taking import CONTEXT
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import VitrinError
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.kit.seal import Erased, Person, Receipt, Sealer, unpack
from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import ShopSpec

EVERY_S: Final = 60.0
TIDY_EVERY: Final = timedelta(hours=1)
BRANDS_AT_ONCE: Final = 500
ORDERS_AT_ONCE: Final = 200
REFUNDS_KEEP: Final = timedelta(days=30)
REQUESTS_KEEP: Final = timedelta(days=3 * 365)
"""That a request was answered, and who looked at whose data, is proof for the brand."""
ACTOR: Final = "service:catalog"
_log = get_logger("vitrin.catalog.orders")


class OrderKeeping:
    """Looks every minute, tidies every hour. Several processes may run it."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        sealer: Sealer,
        clock: Clock,
        orders_keep: timedelta,
        specs: Mapping[str, ShopSpec] = SHOPS,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._orders_keep = orders_keep
        self._specs = specs
        self._notices = PrivacyNotices(clock)
        self._tidied_at: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.sweep(stop)
            except (SQLAlchemyError, VitrinError) as error:
                _log.warning("order_keeping_waits", error=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), EVERY_S)
            except TimeoutError:
                continue

    async def sweep(self, stop: asyncio.Event) -> None:
        """SealUnavailable where a shop is to be erased and accounts is away; everything else is done by then."""
        async with self._database.read() as tx:
            brands = await repository.brands(tx)
        now = self._clock()
        waiting, running = await self._look(brands, now)
        if self._tidied_at is None or now - self._tidied_at >= TIDY_EVERY:
            for brand in brands:
                if stop.is_set():
                    return
                await self._forget(brand, stop)
            for one in waiting:
                if one.due_at - now < URGENT:
                    await self._remind(one)
            self._tidied_at = now
        for request in running:
            await self._erase_shop(request, stop)
        if running and not stop.is_set():
            metrics.ERASING_SECONDS.set(0.0)

    async def _look(self, brands: list[BrandId], now: datetime) -> tuple[list[Any], list[Any]]:
        """Exports that wait for an answer, and erasures that run."""
        waiting: list[Any] = []
        running: list[Any] = []
        parked = 0
        for start in range(0, len(brands), BRANDS_AT_ONCE):
            some = brands[start : start + BRANDS_AT_ONCE]
            async with self._database.read(some) as tx:
                waiting += await repository_privacy.unanswered(tx, some)
                running += await repository_privacy.running(tx, some)
                parked += await repository.parked_count(tx, some)
        due_s = [(one.due_at - now).total_seconds() for one in waiting]
        metrics.DUE_SECONDS.set(min(due_s, default=repository_privacy.DUE.total_seconds()))
        age_s = [(now - one.received_at).total_seconds() for one in running]
        metrics.ERASING_SECONDS.set(max(age_s, default=0.0))
        metrics.PARKED.set(parked)
        return waiting, running

    async def _forget(self, brand: BrandId, stop: asyncio.Event) -> None:
        now, deleted = self._clock(), ORDERS_AT_ONCE
        while deleted == ORDERS_AT_ONCE and not stop.is_set():
            async with self._database.write([brand]) as tx:
                deleted, given_up = await repository.forget_old(
                    tx,
                    brand,
                    orders_before=now - self._orders_keep,
                    refunds_before=now - REFUNDS_KEEP,
                    views_before=now - REQUESTS_KEEP,
                    limit=ORDERS_AT_ONCE,
                )
                gone = await repository_privacy.forget_old(tx, brand, before=now - REQUESTS_KEEP)
                await self._notices.over(tx, brand, *gone)
            metrics.GIVEN_UP.inc(given_up)

    async def _remind(self, one: Any) -> None:
        spec = self._specs.get(one.platform)
        shop = one.external_ids[spec.required_external_ids[0]] if spec is not None else one.platform
        brand = BrandId(one.brand_id)
        async with self._database.write([brand]) as tx:
            await self._notices.asked(tx, brand, one.request_id, kind=one.kind, shop=shop, due_at=one.due_at)

    async def _erase_shop(self, request: Any, stop: asyncio.Event) -> None:
        brand, connection = BrandId(request.brand_id), ConnectionId(request.connection_id)
        receipt = people.receipt_of((), orders=0, before=request.receipt)
        while not stop.is_set():
            ids, destroyed = await self._destroy_some(brand, connection)
            receipt = people.receipt_of(destroyed, orders=len(ids), before=receipt)
            async with self._database.write([brand]) as tx:
                await repository.drop(tx, brand, connection, ids)
                await repository_privacy.progress(tx, brand, request.request_id, receipt=receipt)
                if not ids:
                    await self._end(tx, brand, request, now=self._clock())
            if not ids:
                _log.info("shop_erased", connection=str(connection), orders=receipt["orders"])
                return

    async def _end(self, tx: Any, brand: BrandId, request: Any, *, now: datetime) -> None:
        connection = ConnectionId(request.connection_id)
        await repository.drop_parked(tx, brand, connection)
        await repository_privacy.forget_bodies(tx, brand, connection, now=now)
        await repository_privacy.end(tx, brand, request.request_id, now=now)

    async def _destroy_some(
        self, brand: BrandId, connection: ConnectionId
    ) -> tuple[list[str], list[Receipt]]:
        """Keys first: an order whose row is gone could not say whose key it was."""
        async with self._database.read([brand]) as tx:
            shop = await repository_privacy.shop(tx, brand, connection)
            rows = await repository.next_of_shop(tx, brand, connection, ORDERS_AT_ONCE)
        if shop is None or not rows:
            return [], []
        where = people.address(self._specs[shop.platform], shop.external_ids)
        sealed = [unpack(row.person) for row in rows if row.person is not None]
        opened = await self._sealer.open_many(brand, sealed, context=CONTEXT) if sealed else []
        customers = {one.get("customer_id", "") for one in opened if not isinstance(one, Erased)} - {""}
        named: list[Person] = [people.guest(where, row.order_id) for row in rows]
        named += [people.customer(where, one) for one in sorted(customers)]
        receipts = await self._sealer.destroy(brand, named, actor=ACTOR)
        return messages.ids_text(row.order_id for row in rows), receipts
