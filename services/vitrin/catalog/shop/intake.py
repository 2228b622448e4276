"""Products that were read at a shop, on their way into the catalog: in bounded transactions, each product whole."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop.handlers import Applying
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.platforms.shop import ShopProduct, StockLevel

PRODUCTS_PER_TRANSACTION: Final = 20
After = Callable[[WriteSession, Sequence[ShopProduct], Sequence[Applied], bool], Awaitable[None]]
"""In the transaction of some products: what became of them, and whether they are the last."""


class Intake:
    def __init__(self, *, database: WorkerDatabase, applying: Applying, places: Places, clock: Clock) -> None:
        self._database = database
        self._applying = applying
        self._places = places
        self._clock = clock

    async def take(
        self, shop: Shop, products: Sequence[ShopProduct], levels: Sequence[StockLevel], after: After
    ) -> None:
        """Once at least, so that `after` can save that nothing came."""
        of_item: dict[str, list[StockLevel]] = {}
        for level in levels:
            of_item.setdefault(level.inventory_item_id, []).append(level)
        received_at = self._clock()
        for begin in range(0, max(1, len(products)), PRODUCTS_PER_TRANSACTION):
            part = products[begin : begin + PRODUCTS_PER_TRANSACTION]
            last = begin + PRODUCTS_PER_TRANSACTION >= len(products)
            async with self._database.write([shop.brand]) as tx:
                applied = [await self._one(tx, shop, product, of_item, received_at) for product in part]
                await after(tx, part, applied, last)

    async def gone(self, shop: Shop, product_id: str, *, at: datetime, after: After) -> None:
        """The shop said that there is no such product."""
        async with self._database.write([shop.brand]) as tx:
            place = await self._places.of(tx, shop.brand)
            applied = await self._applying.delete_product(
                tx, shop, product_id, at=at, place=place, received_at=self._clock()
            )
            await after(tx, (), [applied], True)

    async def _one(
        self,
        tx: WriteSession,
        shop: Shop,
        product: ShopProduct,
        of_item: dict[str, list[StockLevel]],
        received_at: datetime,
    ) -> Applied:
        items = [one.inventory_item_id for one in product.variants if one.inventory_item_id]
        levels = [level for item in items for level in of_item.get(item, ())]
        place = await self._places.of(tx, shop.brand)
        return await self._applying.apply_product(
            tx, shop, product, levels, place=place, received_at=received_at
        )


def differs(applied: Applied) -> bool:
    """The catalog was not as the shop is."""
    return bool(applied.created or applied.updated or applied.deleted)
