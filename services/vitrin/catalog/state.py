"""The whole state of items and offers, as their changes publish it; deleted items too."""

from collections.abc import Callable, Iterator
from typing import Final

from vitrin.catalog import repository_read
from vitrin.catalog.events import item_state, offer_state
from vitrin.catalog.repository_read import ItemRow
from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId
from vitrin.kit.state.source import StatePage, StateRecord, StateSource


class CatalogState:
    """Items and offers have one position, the item's id: its row lock covers both."""

    def __init__(self, topic: str, events: Callable[[ItemRow], Iterator[Event]]) -> None:
        self.topic = topic
        self._events = events

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        return await repository_read.next_brand(tx, after=after)

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        if lock:
            locked = await repository_read.share_page(tx, brand=brand, after=after, limit=limit)
            rows = await repository_read.state_of(tx, brand=brand, ids=locked)
        else:
            rows = await repository_read.snapshot_page(tx, brand=brand, after=after or None, limit=limit)
        records = [StateRecord(row.item_id, event) for row in rows for event in self._events(row)]
        return StatePage(records, rows[-1].item_id if len(rows) == limit else None)


SOURCES: Final[tuple[StateSource, ...]] = (
    CatalogState(topics.ITEM, item_state),
    CatalogState(topics.OFFER, offer_state),
)
