"""The deliveries of one shop for a slice of time: stock of many variants at once, then subjects side by side, each in
the order of its news."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from vitrin.catalog.shop import repository_deliveries, repository_shops
from vitrin.catalog.shop.applier import Applier
from vitrin.catalog.shop.claiming import Lost, NextDue
from vitrin.catalog.shop.repository_deliveries import Delivery
from vitrin.catalog.shop.repository_queues import Claim
from vitrin.catalog.shop.stock_groups import StockGroups
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession

TAKEN_AT_ONCE: Final = 100
SUBJECTS_AT_ONCE: Final = 4
SLICE_S: Final = 2.0


class ApplyingSessions:
    def __init__(
        self,
        *,
        database: WorkerDatabase,
        applier: Applier,
        stock: StockGroups | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._applier = applier
        self._stock = stock
        self._clock = clock
        self._monotonic = monotonic

    async def __call__(self, claim: Claim, lost: Lost) -> NextDue:
        until = self._monotonic() + SLICE_S
        while not lost and self._monotonic() < until:
            async with self._database.read([claim.brand]) as tx:
                taken = await repository_deliveries.due(tx, claim.key, now=self._clock(), limit=TAKEN_AT_ONCE)
            if not taken:
                break
            await self._seen(claim, taken)
            if self._stock is not None:
                done = await self._stock.apply(claim.key, taken)
                taken = [one for one in taken if one.delivery_id not in done]
            await self._apply(taken, lost)

        async def next_due(tx: WriteSession) -> datetime | None:
            return await repository_deliveries.next_due(tx, claim.key)

        return next_due

    async def _seen(self, claim: Claim, taken: Sequence[Delivery]) -> None:
        async with self._database.write([claim.brand]) as tx:
            await repository_shops.seen(tx, claim.key, max(one.received_at for one in taken))

    async def _apply(self, taken: Sequence[Delivery], lost: Lost) -> None:
        by_subject: dict[str, list[Delivery]] = {}
        for one in taken:
            by_subject.setdefault(one.subject, []).append(one)
        places = asyncio.Semaphore(SUBJECTS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for deliveries in by_subject.values():
                group.create_task(self._in_order(deliveries, places, lost))

    async def _in_order(self, deliveries: Sequence[Delivery], places: asyncio.Semaphore, lost: Lost) -> None:
        """The later ones wait for an earlier one that comes again."""
        async with places:
            for delivery in deliveries:
                if lost:
                    return
                ending = await self._applier.apply(delivery)
                if ending is not None and ending.again_at is not None:
                    return
