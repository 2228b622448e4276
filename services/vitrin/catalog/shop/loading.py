"""A whole load of a shop, one step at a time; a process that is killed goes on behind the last page it had saved.

What the catalog has from the shop and the load did not show is asked for one by one, and deleted only where the shop
says that it is gone: an answer that was cut short empties nothing."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from vitrin.catalog.shop import metrics, outcome, repository_loads, repository_shops
from vitrin.catalog.shop.handlers import KnownProducts
from vitrin.catalog.shop.intake import Intake, differs
from vitrin.catalog.shop.repository_loads import Load
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.platforms.base import PlatformFailure
from vitrin.platforms.shop import ShopProduct, ShopSource, StockLevel

POLL: Final = timedelta(seconds=2)
PREPARING_MAX: Final = timedelta(hours=12)
"""A shop that has not prepared its answer by then never will."""
TRIES_MAX: Final = 5
FAILED_PAUSE: Final = timedelta(minutes=15)
KNOWN_AT_ONCE: Final = 200
ASKED_AT_ONCE: Final = 4
GONE: Final = "load_gone"
Found = tuple[ShopProduct, tuple[StockLevel, ...]] | None


class ShopNotReachable(Exception):
    """It was uninstalled, deleted or refused while it was read."""


class Loading:
    def __init__(
        self, *, database: WorkerDatabase, intake: Intake, known: KnownProducts, clock: Clock
    ) -> None:
        self._database = database
        self._intake = intake
        self._known = known
        self._clock = clock

    async def step(self, row: ShopRow, shop: Shop, source: ShopSource, load: Load) -> timedelta:
        """One call or page of it; how long to rest before the next one. Raises PlatformFailure, ShopNotReachable.

        One that rested since the shop refused our token goes on behind the last page that it had saved; what changed
        meanwhile comes by webhook, and by the delta from the load's beginning on that follows it."""
        if load.problem is not None:
            await self._save(row, load, problem=None)
        match load.state:
            case "asked":
                begun = await source.start_load()
                await self._save(row, load, state="preparing", handle=begun.handle, objects=begun.objects)
            case "preparing":
                return await self._prepare(row, source, load)
            case "reading":
                await self._read(row, shop, source, load)
            case "checking":
                await self._check(row, shop, source, load)
        return timedelta(0)

    async def _prepare(self, row: ShopRow, source: ShopSource, load: Load) -> timedelta:
        try:
            state = await source.load_state(load.handle)
        except PlatformFailure as failure:
            if failure.code != GONE:
                raise
            await self._again(row, load, failure.message)
            return POLL
        if state.state == "ready":
            await self._save(row, load, state="reading", objects=state.objects or load.objects)
            return timedelta(0)
        if state.state == "failed":
            await self._again(row, load, state.failure)
        elif self._clock() - load.created_at > PREPARING_MAX:
            await self._fail(
                row, load, "load_not_prepared", "The shop did not prepare its answer in 12 hours."
            )
        else:
            await self._save(row, load, objects=state.objects or load.objects)
        return POLL

    async def _read(self, row: ShopRow, shop: Shop, source: ShopSource, load: Load) -> None:
        try:
            page = await source.load_page(load.handle, load.cursor)
        except PlatformFailure as failure:
            if failure.code != GONE:
                raise
            await self._again(row, load, failure.message)
            return

        async def after(
            tx: WriteSession, part: Sequence[ShopProduct], applied: Sequence[Applied], last: bool
        ) -> None:
            await self._still(tx, row)
            fresh = await repository_loads.show(tx, row.key, load, [one.product_id for one in part])
            now = self._clock()
            await repository_loads.count(tx, row.key, load, applied, products=fresh, now=now)
            if last:
                state = "checking" if page.cursor is None else "reading"
                changed = await repository_loads.change(
                    tx, row.key, load, now=now, state=state, cursor=page.cursor, pages=load.pages + 1, tries=0
                )
                if not changed:
                    raise ShopNotReachable
            _count_missed(load, row, applied)

        await self._intake.take(shop, page.products, page.levels, after)

    async def _check(self, row: ShopRow, shop: Shop, source: ShopSource, load: Load) -> None:
        async with self._database.read([row.brand_id]) as tx:
            known = await self._known(tx, shop, after=load.checked_after, limit=KNOWN_AT_ONCE)
            missing = await repository_loads.not_shown(tx, row.key, load, known) if known else []
        places = asyncio.Semaphore(ASKED_AT_ONCE)
        answers = await asyncio.gather(
            *(_ask(source, product_id, places) for product_id in missing), return_exceptions=True
        )
        for product_id, answer in zip(missing, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            await self._settle(row, shop, load, product_id, answer)
        if len(known) == KNOWN_AT_ONCE:
            await self._save(row, load, checked_after=known[-1])
        else:
            await self._done(row, load)

    async def _settle(self, row: ShopRow, shop: Shop, load: Load, product_id: str, answer: Found) -> None:
        async def after(
            tx: WriteSession, part: Sequence[ShopProduct], applied: Sequence[Applied], last: bool
        ) -> None:
            await self._still(tx, row)
            await repository_loads.count(tx, row.key, load, applied, products=0, now=self._clock())
            _count_missed(load, row, applied)

        if answer is None:
            await self._intake.gone(shop, product_id, at=self._clock(), after=after)
        else:
            product, levels = answer
            await self._intake.take(shop, [product], levels, after)

    async def _still(self, tx: WriteSession, row: ShopRow) -> None:
        """An app that was removed while we read: what was read is not applied."""
        now = await repository_shops.get(tx, row.key)
        if now is None or not now.reachable:
            raise ShopNotReachable

    async def _again(self, row: ShopRow, load: Load, said: str) -> None:
        """From the beginning, some times."""
        if load.tries + 1 >= TRIES_MAX:
            await self._fail(row, load, "load_failed", said or "The shop could not prepare its answer.")
            return
        await self._save(row, load, state="asked", handle="", cursor=None, tries=load.tries + 1)

    async def _fail(self, row: ShopRow, load: Load, code: str, said: str) -> None:
        now = self._clock()
        words = outcome.problem(
            code, said, "It is loaded again by itself; POST /v1/shops/{id}:load does so at once."
        )
        async with self._database.write([row.brand_id]) as tx:
            if await repository_loads.change(
                tx, row.key, load, now=now, state="failed", problem=words, finished_at=now
            ):
                await repository_loads.forget_shown(tx, row.key, load)
                await repository_shops.change(tx, row.key, full_at=now + FAILED_PAUSE)
        metrics.LOADS.labels(row.platform, load.kind, "failed").inc()

    async def _done(self, row: ShopRow, load: Load) -> None:
        now = self._clock()
        async with self._database.write([row.brand_id]) as tx:
            await self._still(tx, row)
            if not await repository_loads.change(tx, row.key, load, now=now, state="done", finished_at=now):
                raise ShopNotReachable
            await repository_loads.forget_shown(tx, row.key, load)
            await repository_shops.change(
                tx,
                row.key,
                loaded_at=now,
                full_at=None,
                delta_at=None,
                products_since=load.created_at,
                orders_since=row.orders_since or load.created_at,
            )
        metrics.LOADS.labels(row.platform, load.kind, "done").inc()

    async def _save(self, row: ShopRow, load: Load, **values: object) -> None:
        async with self._database.write([row.brand_id]) as tx:
            if not await repository_loads.change(tx, row.key, load, now=self._clock(), **values):
                raise ShopNotReachable


async def _ask(source: ShopSource, product_id: str, places: asyncio.Semaphore) -> Found:
    async with places:
        return await source.product(product_id)


def _count_missed(load: Load, row: ShopRow, applied: Sequence[Applied]) -> None:
    if load.kind != "first":
        metrics.MISSED.labels(row.platform).inc(sum(differs(one) for one in applied))
