"""Use cases of adoption's HTTP door: what the platform held before, deciding what is in doubt, and asking for the
removal of what nobody claims."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row

from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import ChannelId, new_uuid
from vitrin.platforms.registry import PLATFORMS
from vitrin.shop_sync.domain.adoption import How, Match
from vitrin.shop_sync.domain.guard import Kind
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.domain.words import NOT_IN_SHOP
from vitrin.shop_sync.errors import (
    AdoptionBusy,
    AdoptionItemSent,
    AdoptionItemsUnknown,
    AdoptionNothingToRemove,
    AdoptionRemovalOpen,
    ChannelClosed,
    ChannelNotFound,
    ItemNotFound,
    PlatformCannotList,
)
from vitrin.shop_sync.repository import channels, queries, removals, replica, shelf, stocks, work
from vitrin.shop_sync.repository import guard as memory
from vitrin.shop_sync.repository.removals import NewItem
from vitrin.shop_sync.repository.stocks import Stock
from vitrin.shop_sync.service.adopting import adopted
from vitrin.shop_sync.service.guarding import ALERT_AGAIN_AFTER, say_held
from vitrin.shop_sync.service.waking import Waker

REMOVE_ITEMS_MAX: Final = 50_000
"""Strangers in one request; the rest is asked for when it is decided."""
_OPEN: Final = frozenset({"stranger", "ambiguous", "left"})


@dataclass(frozen=True, slots=True)
class Choice:
    """`item_id` None: the platform's item is none of ours."""

    platform_item_id: str
    item_id: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """`counts`: items by (state, how they were matched)."""

    channel: Channel
    lists_items: bool
    stock: Stock | None
    counts: dict[tuple[str, str], int]


class Adoption:
    """A test key sees sandbox channels only."""

    def __init__(self, *, database: AppDatabase, waker: Waker, clock: Clock) -> None:
        self._database = database
        self._waker = waker
        self._clock = clock

    async def summary(self, principal: Principal, channel_id: UUID) -> Summary:
        async with self._database.read(principal.brand_id) as tx:
            channel = await _channel(tx, principal, channel_id)
            return Summary(
                channel,
                _lists(channel),
                await stocks.get(tx, channel),
                await shelf.counts(tx, channel),
            )

    async def items(
        self, principal: Principal, channel_id: UUID, *, state: str | None, after: str, limit: int
    ) -> Sequence[Row[Any]]:
        async with self._database.read(principal.brand_id) as tx:
            channel = await _channel(tx, principal, channel_id)
            return await shelf.page(tx, channel, state=state, after=after, limit=limit)

    async def refresh(self, principal: Principal, channel_id: UUID) -> Summary:
        """List again from the beginning. What was adopted stays so."""
        async with self._database.write(principal.brand_id) as tx:
            channel = await self._held(tx, principal, channel_id)
            if not _lists(channel):
                raise PlatformCannotList
            await stocks.begin(tx, channel, self._clock())
            await self._wake(tx, principal, channel, "adoption_refreshed", {})
        return await self.summary(principal, channel_id)

    async def skip(self, principal: Principal, channel_id: UUID) -> Summary:
        """Send without knowing what is there: only ids that the template makes are found again."""
        async with self._database.write(principal.brand_id) as tx:
            await replica.hold_brands(tx, [principal.brand_id])
            channel = await self._held(tx, principal, channel_id)
            stock = await stocks.lock(tx, channel)
            if stock is not None and stock.state not in {"done", "skipped"}:
                stock.state, stock.due_at, stock.finished_at = "skipped", None, self._clock()
                await stocks.save(tx, channel, stock)
                if channel.stock == "taking":
                    await stocks.set_gate(tx, channel, "none")
                await self._wake(tx, principal, channel, "adoption_skipped", {"listed": stock.listed})
        return await self.summary(principal, channel_id)

    async def resolve(self, principal: Principal, channel_id: UUID, choices: Sequence[Choice]) -> Summary:
        """All or nothing. Nobody matches anything meanwhile."""
        async with self._database.write(principal.brand_id) as tx:
            await replica.hold_brands(tx, [principal.brand_id])
            channel, stock = await self._settled(tx, principal, channel_id)
            found = await shelf.lock_items(tx, channel, [one.platform_item_id for one in choices])
            unknown = [
                one.platform_item_id
                for one in choices
                if one.platform_item_id not in found or found[one.platform_item_id].state not in _OPEN
            ]
            if unknown:
                raise AdoptionItemsUnknown(
                    f"{len(unknown)} of them are not there, or decided already.", items=unknown[:100]
                )
            now, by = self._clock(), principal.actor
            matches = [
                Match(one.item_id, one.platform_item_id, How.CHOICE)
                for one in choices
                if one.item_id is not None
            ]
            await _may_adopt(tx, channel, matches)
            await adopted(tx, channel, matches, now, by=by)
            leave = [one.platform_item_id for one in choices if one.item_id is None]
            await shelf.change(tx, channel, leave, was=sorted(_OPEN), state="left", now=now, by=by)
            stock.state, stock.due_at = "matching", now
            await stocks.save(tx, channel, stock)
            after = {"choices": [asdict(one) for one in choices][:100], "of": len(choices)}
            await self._wake(tx, principal, channel, "adoption_resolved", after)
        return await self.summary(principal, channel_id)

    async def remove(self, principal: Principal, channel_id: UUID, ids: Sequence[str] | None) -> Row[Any]:
        """A request that waits for an approval, as the guard's do; None: all strangers. Nothing is deleted here."""
        brand = principal.brand_id
        async with self._database.write(brand) as tx:
            channel, _ = await self._settled(tx, principal, channel_id)
            await memory.lock_window(tx, brand, channel.channel_id)
            waiting = await removals.open_request(tx, channel, subject="strangers")
            if waiting is not None:
                raise AdoptionRemovalOpen(request_id=str(waiting.request_id))
            if ids is None:
                rows = await shelf.lock_strangers(tx, channel, limit=REMOVE_ITEMS_MAX)
            else:
                rows = [
                    row for row in (await shelf.lock_items(tx, channel, ids)).values() if row.state in _OPEN
                ]
            if not rows or (ids is not None and len(rows) != len(set(ids))):
                raise AdoptionNothingToRemove(
                    f"{len(rows)} of {len(set(ids or ()))} are there and claimed by nobody."
                    if ids is not None
                    else "The catalog holds none."
                )
            request_id, now = new_uuid(), self._clock()
            await self._request(tx, principal, channel, request_id=request_id, rows=rows, now=now)
            found = await removals.get(tx, brand, request_id)
        assert found is not None
        return found

    async def _request(
        self,
        tx: WriteSession,
        principal: Principal,
        channel: Channel,
        *,
        request_id: UUID,
        rows: Sequence[Row[Any]],
        now: datetime,
    ) -> None:
        brand, by = principal.brand_id, principal.actor
        ids = [row.platform_item_id for row in rows]
        await shelf.change(tx, channel, ids, was=sorted(_OPEN), state="removal", now=now, by=by)
        await removals.create_request(
            tx,
            channel,
            request_id,
            limit=0,
            shown=None,
            passed=0,
            now=now,
            due_at=now + ALERT_AGAIN_AFTER,
            subject="strangers",
        )
        reason = json.dumps(asdict(NOT_IN_SHOP))
        added = [NewItem(row.platform_item_id, Kind.REMOVAL, row.title, reason, by) for row in rows]
        await removals.add_items(tx, channel, request_id, added, now=now)
        await removals.recount(
            tx, brand, request_id, waiting_removals=len(rows), causes={by: len(rows)}, now=now
        )
        await say_held(tx, channel, request_id, await memory.policy(tx, brand), now)
        await _audit(tx, principal, channel, "adoption_removal_asked", now=now, after={"items": len(rows)})

    async def _held(self, tx: WriteSession, principal: Principal, channel_id: UUID) -> Channel:
        channel = await channels.lock(tx, principal.brand_id, ChannelId(channel_id))
        if channel is None or (principal.mode == "test" and channel.mode != "sandbox"):
            raise ChannelNotFound
        if channel.state == "closed":
            raise ChannelClosed
        return channel

    async def _settled(
        self, tx: WriteSession, principal: Principal, channel_id: UUID
    ) -> tuple[Channel, Stock]:
        channel = await self._held(tx, principal, channel_id)
        stock = await stocks.lock(tx, channel)
        if stock is None:
            raise AdoptionItemsUnknown(
                "No listing of this catalog was made: POST …/adoption:refresh makes one."
            )
        if stock.state not in {"done", "matching", "rechecking", "skipped"}:
            raise AdoptionBusy(f"It is {stock.state} now.")
        return channel, stock

    async def _wake(
        self, tx: WriteSession, principal: Principal, channel: Channel, action: str, after: dict[str, Any]
    ) -> None:
        now = self._clock()
        await _audit(tx, principal, channel, action, now=now, after=after)
        await work.make_due(tx, [channel.channel_id], now)
        self._waker.after(tx, [channel.channel_id])


async def _audit(
    tx: WriteSession,
    principal: Principal,
    channel: Channel,
    action: str,
    *,
    now: datetime,
    after: dict[str, Any],
) -> None:
    await memory.audit(
        tx,
        principal.brand_id,
        audit_id=new_uuid(),
        at=now,
        actor=principal.actor,
        action=action,
        subject=f"channel:{channel.channel_id}",
        before={},
        after=after,
    )


async def _channel(tx: ReadSession, principal: Principal, channel_id: UUID) -> Channel:
    channel = await channels.get(tx, principal.brand_id, ChannelId(channel_id))
    if channel is None or (principal.mode == "test" and channel.mode != "sandbox"):
        raise ChannelNotFound
    return channel


async def _may_adopt(tx: ReadSession, channel: Channel, matches: Sequence[Match]) -> None:
    """Each item of ours exists, takes one item of the platform, and goes by no id there yet."""
    wanted = [one.item_id for one in matches]
    if len(set(wanted)) != len(wanted):
        raise AdoptionItemsUnknown("An item of yours can take over one item of the platform only.", items=[])
    for item_id in wanted:
        if await queries.item(tx, channel.brand_id, item_id) is None:
            raise ItemNotFound(f"There is no item with the id {item_id!r}.")
    sent = await shelf.named(tx, channel, wanted)
    if sent:
        raise AdoptionItemSent(f"{len(sent)} items have an id on the channel.", items=sent[:100])


def _lists(channel: Channel) -> bool:
    spec = PLATFORMS.get(channel.platform)
    return spec is not None and spec.capabilities.lists_items
