"""Use cases of the HTTP door: channels, items of a channel, why an item is (not) there, lag."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row

from vitrin.kit.access.outgoing import Stop, stop_for, stops_in
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId
from vitrin.kit.logs import get_logger
from vitrin.platforms.id_templates import template_problem
from vitrin.shop_sync.domain import stuck as domain_stuck
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.errors import (
    ChannelClosed,
    ChannelNotFound,
    IdTemplateFrozen,
    IdTemplateUnknown,
    ItemNotFound,
    SkuAmbiguous,
)
from vitrin.shop_sync.repository import channels, queries, replica, shelf, stocks, stuck, work
from vitrin.shop_sync.repository.stocks import Stock
from vitrin.shop_sync.service.counting import Counting
from vitrin.shop_sync.service.waking import Waker

_log = get_logger("vitrin.shop_sync.reading")
STUCK_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class View:
    """What is told of a channel beside its row. `stop`: the switch of accounts that holds it. `taking`:
    how far taking stock of its catalog is."""

    counts: Mapping[str, int]
    stop: Stop | None
    stuck: int
    hunts: int
    taking: Stock | None = None


class Reading:
    """`sandbox_only`: the caller's key is a test key, for which live channels do not exist."""

    def __init__(
        self,
        *,
        database: AppDatabase,
        waker: Waker,
        clock: Clock,
        stuck_after: timedelta = STUCK_AFTER,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._waker = waker
        self._clock = clock
        self._stuck_after = stuck_after
        self._counting = Counting(monotonic_s)

    async def channels(self, brand: BrandId, *, sandbox_only: bool) -> list[tuple[Channel, View]]:
        async with self._database.read(brand) as tx:
            found = await channels.list_of(tx, brand, sandbox_only=sandbox_only)
            return await self._views(tx, brand, found)

    async def channel(self, brand: BrandId, channel_id: UUID, *, sandbox_only: bool) -> tuple[Channel, View]:
        async with self._database.read(brand) as tx:
            found = await channels.get(tx, brand, ChannelId(channel_id))
            (seen,) = await self._views(tx, brand, [_visible(found, sandbox_only)])
        return seen

    async def _views(
        self, tx: ReadSession, brand: BrandId, found: Sequence[Channel]
    ) -> list[tuple[Channel, View]]:
        now = self._clock()
        counts = await self._counting.counts(tx, brand)
        hunts = await queries.hunts(tx, brand)
        stops = await stops_in(tx, brand)
        taking = await stocks.of_brand(tx, brand)
        standings = await stuck.standings(tx, [brand], cutoff=now - self._stuck_after)
        still = {
            one.channel_id: domain_stuck.findings(
                one, now=now, after=self._stuck_after, stopped=stop_for(stops, one.platform) is not None
            )
            for one in standings
        }
        return [
            (
                channel,
                View(
                    counts=counts.get(channel.channel_id, {}),
                    stop=stop_for(stops, channel.platform),
                    stuck=domain_stuck.stuck(still.get(channel.channel_id, ())),
                    hunts=hunts.get(channel.channel_id, 0),
                    taking=taking.get(channel.channel_id),
                ),
            )
            for channel in found
        ]

    async def pause(
        self, brand: BrandId, channel_id: UUID, *, actor: str, reason: str, sandbox_only: bool
    ) -> tuple[Channel, View]:
        """Nothing is sent, polled or looked at until it is resumed; changes are kept. Again: changes nothing."""
        async with self._database.write(brand) as tx:
            held = await self._held(tx, brand, channel_id, sandbox_only)
            if held.paused_at is None:
                await channels.pause(tx, held, at=self._clock(), by=actor, reason=reason)
                _log.info("channel_paused", channel=str(channel_id), actor=actor, reason=reason)
        return await self.channel(brand, channel_id, sandbox_only=sandbox_only)

    async def resume(
        self, brand: BrandId, channel_id: UUID, *, actor: str, sandbox_only: bool
    ) -> tuple[Channel, View]:
        """What was kept goes out, what was under way is looked at."""
        async with self._database.write(brand) as tx:
            held = await self._held(tx, brand, channel_id, sandbox_only)
            if held.paused_at is not None:
                await channels.resume(tx, held)
                await work.make_due(tx, [held.channel_id], self._clock())
                self._waker.after(tx, [held.channel_id])
                _log.info("channel_resumed", channel=str(channel_id), actor=actor)
        return await self.channel(brand, channel_id, sandbox_only=sandbox_only)

    async def _held(self, tx: WriteSession, brand: BrandId, channel_id: UUID, sandbox_only: bool) -> Channel:
        held = _visible(await channels.lock(tx, brand, ChannelId(channel_id)), sandbox_only)
        if held.state == "closed":
            raise ChannelClosed
        return held

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
    ) -> tuple[Channel, View]:
        """Other ids than the platform's pixels and catalogs know would break them, so only before the first send."""
        wrong = template_problem(template)
        if wrong is not None:
            raise IdTemplateUnknown(wrong, field="id_template")
        async with self._database.write(brand) as tx:
            await replica.hold_brands(tx, [brand])
            held = _visible(await channels.lock(tx, brand, ChannelId(channel_id)), sandbox_only)
            if held.state == "closed":
                raise ChannelClosed
            if held.id_template != template:
                if await channels.ever_sent(tx, held):
                    raise IdTemplateFrozen("Items were already sent with their ids.", field="id_template")
                now = self._clock()
                await channels.forget_items(tx, held, now)
                await shelf.unmatch(tx, held)
                taking = await stocks.lock(tx, held)
                stock = held.stock
                if taking is not None and held.stock == "held":
                    # Other ids of ours may be those that the platform holds.
                    stock, taking.state, taking.due_at = "taking", "indexing", now
                    taking.index_cursor, taking.indexed = "", 0
                    await stocks.save(tx, held, taking)
                fresh = replace(
                    held,
                    id_template=template,
                    stock=stock,
                    opened_occurred_at=now,
                    sync_cursor=None,
                    sync_started_at=None,
                    sync_total=0,
                    sync_done=0,
                    sync_finished_at=None,
                )
                await channels.update(tx, fresh)
                await work.make_due(tx, [held.channel_id], now)
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
    ) -> tuple[Row[Any], Sequence[Row[Any]], Sequence[Row[Any]], Sequence[Stop]]:
        """The item, its states per channel, its steps, and what is stopped. `item` is an id, else a SKU."""
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
            stops = await stops_in(tx, brand)
        return found, states, steps, stops

    async def lag(self, brand: BrandId, *, window_s: int, sandbox_only: bool) -> Sequence[Row[Any]]:
        since = self._clock() - timedelta(seconds=window_s)
        async with self._database.read(brand) as tx:
            return await queries.lag(tx, brand, since=since, sandbox_only=sandbox_only)


def _visible(channel: Channel | None, sandbox_only: bool) -> Channel:
    if channel is None or (sandbox_only and channel.mode != "sandbox"):
        raise ChannelNotFound
    return channel
