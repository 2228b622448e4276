"""Stock of many variants in one transaction: what a busy shop tells most costs a fraction of one by one then."""

from collections.abc import Mapping, Sequence
from typing import Final

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import outcome, repository_deliveries, repository_shops
from vitrin.catalog.shop.applier import Unreadable, count, not_yet, read
from vitrin.catalog.shop.handlers import Applying
from vitrin.catalog.shop.outcome import Ending
from vitrin.catalog.shop.packing import ShopKey
from vitrin.catalog.shop.repository_deliveries import Delivery
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger
from vitrin.platforms.shop import NewsKind, ShopSpec, StockLevel

KIND: Final = NewsKind.STOCK.value
_log = get_logger("vitrin.catalog.stock_groups")
Told = dict[str, tuple[Delivery, StockLevel]]
"""By inventory item."""


class StockGroups:
    def __init__(
        self,
        *,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        applying: Applying,
        places: Places,
        cipher: TokenCipher,
        clock: Clock,
    ) -> None:
        self._database = database
        self._specs = specs
        self._applying = applying
        self._places = places
        self._cipher = cipher
        self._clock = clock

    async def apply(self, key: ShopKey, deliveries: Sequence[Delivery]) -> frozenset[str]:
        """Ids of the deliveries that are done; the first of each subject of stock is tried, all of one shop.

        What is not among them goes its way alone, where its end gets its words: what cannot be read, a shop that is not
        ready, a second location of the same variant, and all of them when one spoils the transaction."""
        firsts: dict[str, Delivery] = {}
        for one in deliveries:
            if one.kind == KIND:
                firsts.setdefault(one.subject, one)
        if len(firsts) < 2:
            return frozenset()
        try:
            row, told = await self._told(key, list(firsts.values()))
            if row is None or not told:
                return frozenset()
            endings = await self._save(row, told)
        except Exception as error:
            _log.warning("stock_group_broke", connection=str(key[1]), error=type(error).__name__)
            return frozenset()
        for delivery, ending in endings:
            count(delivery, KIND, ending, now=self._clock())
        return frozenset(delivery.delivery_id for delivery, _ in endings)

    async def _told(self, key: ShopKey, deliveries: Sequence[Delivery]) -> tuple[ShopRow | None, Told]:
        async with self._database.read([key[0]]) as tx:
            row = await repository_shops.get(tx, key)
            bodies = await repository_deliveries.bodies(tx, key, deliveries, cipher=self._cipher)
        told: Told = {}
        if row is None or not_yet(row, deliveries[0], self._clock()) is not None:
            return None, told
        for one in deliveries:
            if one.delivery_id not in bodies:
                continue
            try:
                _, news = read(self._specs, bodies[one.delivery_id], row, one)
            except Unreadable:
                continue
            if news.stock is not None:
                told.setdefault(news.stock.inventory_item_id, (one, news.stock))
        return row, told

    async def _save(self, row: ShopRow, told: Told) -> list[tuple[Delivery, Ending]]:
        shop, now = row.shop(self._specs[row.platform]), self._clock()
        endings: list[tuple[Delivery, Ending]] = []
        async with self._database.write([row.brand_id]) as tx:
            held = await repository_deliveries.hold_all(
                tx, row.key, [one.delivery_id for one, _ in told.values()]
            )
            ours = {name: pair for name, pair in told.items() if pair[0].delivery_id in held}
            if not ours:
                return []
            applied = await self._applying.apply_stocks(
                tx,
                shop,
                [level for _, level in ours.values()],
                place=await self._places.of(tx, row.brand_id),
                received_at=min(one.received_at for one, _ in ours.values()),
            )
            for name, (delivery, _) in ours.items():
                endings.append((delivery, outcome.of_applied(applied[name], delivery.tries)))
            plain = [one.delivery_id for one, ending in endings if ending == Ending("applied", one.tries)]
            await repository_deliveries.finish_applied(tx, row.key, plain, kind=KIND, now=now)
            for delivery, ending in endings:
                if delivery.delivery_id not in plain:
                    await repository_deliveries.finish(
                        tx,
                        delivery,
                        state=ending.state,
                        kind=KIND,
                        tries=ending.tries,
                        now=now,
                        due_at=ending.again_at,
                        problem=ending.problem,
                    )
        return endings
