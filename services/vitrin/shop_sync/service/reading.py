"""Use cases of the HTTP door: channels, items of a channel, why an item is (not) there, lag."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.shop_sync.domain import decide
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.errors import (
    ChannelClosed,
    ChannelNotFound,
    IdTemplateFrozen,
    IdTemplateUnknown,
    ItemNotFound,
    SkuAmbiguous,
)
from vitrin.shop_sync.repository import channels, queries, replica, work
from vitrin.shop_sync.service.waking import Waker


class Reading:
    """`sandbox_only`: the caller's key is a test key, for which live channels do not exist."""

    def __init__(self, *, database: AppDatabase, waker: Waker, clock: Clock) -> None:
        self._database = database
        self._waker = waker
        self._clock = clock

    async def channels(
        self, brand: BrandId, *, sandbox_only: bool
    ) -> list[tuple[Channel, Mapping[str, int]]]:
        async with self._database.read(brand) as tx:
            found = await channels.list_of(tx, brand, sandbox_only=sandbox_only)
            counts = await queries.counts(tx, brand)
        return [(channel, counts.get(channel.channel_id, {})) for channel in found]

    async def channel(
        self, brand: BrandId, channel_id: UUID, *, sandbox_only: bool
    ) -> tuple[Channel, Mapping[str, int]]:
        async with self._database.read(brand) as tx:
            channel = _visible(await channels.get(tx, brand, ChannelId(channel_id)), sandbox_only)
            counts = await queries.counts(tx, brand)
        return channel, counts.get(channel.channel_id, {})

    async def items(
        self,
        brand: BrandId,
        channel_id: UUID,
        *,
        sandbox_only: bool,
        state: str | None,
        after: str,
        limit: int,
    ) -> Sequence[Row[Any]]:
        async with self._database.read(brand) as tx:
            channel = _visible(await channels.get(tx, brand, ChannelId(channel_id)), sandbox_only)
            return await queries.channel_items(
                tx, brand, channel.channel_id, state=state, after=after, limit=limit
            )

    async def change_template(
        self, brand: BrandId, channel_id: UUID, template: str, *, sandbox_only: bool
    ) -> tuple[Channel, Mapping[str, int]]:
        """Other ids than the platform's pixels and catalogs know would break them, so only before the first send."""
        if template not in decide.ID_TEMPLATES:
            raise IdTemplateUnknown(f"{template!r} is not an id template.", field="id_template")
        async with self._database.write(brand) as tx:
            await replica.hold_brands(tx, [brand])
            held = _visible(await channels.lock(tx, brand, ChannelId(channel_id)), sandbox_only)
            if held.state == "closed":
                raise ChannelClosed
            if held.id_template != template:
                if await channels.ever_sent(tx, held):
                    raise IdTemplateFrozen("Items were already sent with their ids.", field="id_template")
                await channels.forget_items(tx, held)
                fresh = replace(
                    held,
                    id_template=template,
                    opened_occurred_at=self._clock(),
                    sync_cursor=None,
                    sync_started_at=None,
                    sync_total=0,
                    sync_done=0,
                    sync_finished_at=None,
                )
                await channels.update(tx, fresh)
                await work.make_due(tx, [held.channel_id], self._clock())
                self._waker.after(tx, [held.channel_id])
        return await self.channel(brand, channel_id, sandbox_only=sandbox_only)

    async def timeline(
        self,
        brand: BrandId,
        item: str,
        *,
        sandbox_only: bool,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[Row[Any], Sequence[Row[Any]], Sequence[Row[Any]]]:
        """The item, its states per channel, its steps. `item` is an id, else a SKU."""
        async with self._database.read(brand) as tx:
            found = await queries.item(tx, brand, item)
            if found is None:
                same = await queries.items_by_sku(tx, brand, item)
                if len(same) > 1:
                    raise SkuAmbiguous(
                        f"{item} is the SKU of {len(same)} items or more.",
                        item_ids=[row.item_id for row in same],
                    )
                if not same:
                    raise ItemNotFound(f"There is no item with the id or SKU {item!r}.")
                found = same[0]
            states = await queries.states(tx, brand, found.item_id, sandbox_only=sandbox_only)
            steps = await queries.timeline(
                tx, brand, found.item_id, sandbox_only=sandbox_only, before=before, limit=limit
            )
        return found, states, steps

    async def lag(self, brand: BrandId, *, window_s: int, sandbox_only: bool) -> Sequence[Row[Any]]:
        since = self._clock() - timedelta(seconds=window_s)
        async with self._database.read(brand) as tx:
            return await queries.lag(tx, brand, since=since, sandbox_only=sandbox_only)


def _visible(channel: Channel | None, sandbox_only: bool) -> Channel:
    if channel is None or (sandbox_only and channel.mode != "sandbox"):
        raise ChannelNotFound
    return channel
