"""A brand leaves: its items are deleted as its own deletions would, so that every replica and both compacted topics end
with the versioned deletions of them, before the rows go."""

from typing import Final

from vitrin.catalog.repository_read import ItemFilter
from vitrin.catalog.service_items import ItemService
from vitrin.kit.ids import BrandId

ACTOR: Final = "service:off-boarding"
ITEMS_AT_ONCE: Final = 200


class Leaving:
    def __init__(self, items: ItemService) -> None:
        self._items = items

    async def delete_items(self, brand: BrandId) -> None:
        """Harmless to repeat; goes on where it was interrupted."""
        after: str | None = None
        more = True
        while more:
            rows, more = await self._items.page(brand, wanted=ItemFilter(), after=after, limit=ITEMS_AT_ONCE)
            if rows:
                after = rows[-1].item_id
                entries = [{"op": "delete", "id": row.item_id} for row in rows]
                await self._items.batch_items(brand, ACTOR, entries)
