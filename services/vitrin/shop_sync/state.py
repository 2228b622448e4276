"""The whole state of items on their channels, as their changes publish it."""

from typing import Final
from uuid import UUID

from vitrin.events import topics
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.kit.state.source import StatePage, StateRecord, StateSource
from vitrin.shop_sync.events import status_changed
from vitrin.shop_sync.repository import channels, items, work


class ItemStatusState:
    """In the order of channel and item. An item in flight has no event of its own: its outcome will say so."""

    topic = topics.ITEM_STATUS

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        return await work.next_brand(tx, after)

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        channel_id, _, item_id = after.partition("/")
        rows = await items.state_page(
            tx,
            brand,
            after=(ChannelId(UUID(channel_id)), item_id) if after else None,
            limit=limit,
            lock=lock,
        )
        of_brand = {
            channel.channel_id: channel for channel in await channels.list_of(tx, brand, sandbox_only=False)
        }
        records = []
        for row, updated_at in rows:
            event = status_changed(of_brand[row.channel_id], row, updated_at)
            if event is not None:
                records.append(StateRecord(_position(row.channel_id, row.item_id), event))
        last = rows[-1][0] if len(rows) == limit else None
        return StatePage(records, None if last is None else _position(last.channel_id, last.item_id))


def _position(channel_id: ChannelId, item_id: str) -> str:
    return f"{channel_id}/{item_id}"


SOURCES: Final[tuple[StateSource, ...]] = (ItemStatusState(),)
