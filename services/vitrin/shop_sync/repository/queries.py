"""Reads of the HTTP door. The brand and the visible modes are in every query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId, ChannelId

_COUNTS: Final = text(
    "select channel_id, state, count(*) as items from channel_items where brand_id = :brand_id"
    " group by channel_id, state"
)
_HUNTS: Final = text(
    "select channel_id, count(*) as hunts from hunts where brand_id = :brand_id group by channel_id"
)
_ITEMS: Final = text(
    "select ci.item_id, ci.platform_item_id, ci.state, ci.reasons, ci.version, ci.content_version,"
    " ci.offer_version, ci.updated_at, coalesce(ri.sku, '') as sku from channel_items ci"
    " left join replica_items ri on ri.brand_id = ci.brand_id and ri.item_id = ci.item_id"
    " where ci.brand_id = :brand_id and ci.channel_id = :channel_id"
    " and (cast(:state as text) is null or ci.state = :state) and ci.item_id > :after"
    " order by ci.item_id limit :limit"
)
_ITEM: Final = text(
    "select item_id, sku, deleted, content from replica_items"
    " where brand_id = :brand_id and item_id = :item_id and content_version > 0"
)
_BY_SKU: Final = text(
    "select item_id, sku, deleted, content from replica_items where brand_id = :brand_id and sku = :sku"
    " and sku <> '' and not deleted order by item_id limit 11"
)
_STATES: Final = text(
    "select ci.channel_id, c.platform, c.mode, c.market, c.state as channel_state,"
    " c.state_reason as channel_state_reason, c.paused_at is not null as paused, c.paused_by, c.paused_reason,"
    " c.stock = 'taking' as taking, ci.platform_item_id, ci.state,"
    " ci.reasons, ci.version, ci.content_version, ci.offer_version, ci.updated_at, ci.desired, ci.confirmed"
    " from channel_items ci join channels c on c.brand_id = ci.brand_id and c.channel_id = ci.channel_id"
    " where ci.brand_id = :brand_id and ci.item_id = :item_id and (not :sandbox_only or c.mode = 'sandbox')"
    " order by c.platform, c.created_at, ci.channel_id"
)
_TIMELINE: Final = text(
    "select t.at, t.id, t.channel_id, t.platform, t.step, t.actor, t.summary, t.reasons, t.content_version,"
    " t.offer_version, t.attempt_id, t.lag_ms from timeline t"
    " join channels c on c.brand_id = t.brand_id and c.channel_id = t.channel_id"
    " where t.brand_id = :brand_id and t.item_id = :item_id and (not :sandbox_only or c.mode = 'sandbox')"
    " and (cast(:before_at as timestamptz) is null or (t.at, t.id) < (:before_at, cast(:before_id as uuid)))"
    " order by t.at desc, t.id desc limit :limit"
)
_LAG: Final = text(
    "select l.channel_id, c.platform, l.kind, count(*) as samples,"
    " percentile_cont(array[0.5, 0.95, 0.99]) within group (order by l.occurred_ms) as occurred,"
    " percentile_cont(array[0.5, 0.95, 0.99]) within group (order by l.received_ms) as received"
    " from lag_samples l join channels c on c.brand_id = l.brand_id and c.channel_id = l.channel_id"
    " where l.brand_id = :brand_id and l.at >= :since and (not :sandbox_only or c.mode = 'sandbox')"
    " group by l.channel_id, c.platform, l.kind order by c.platform, l.channel_id, l.kind"
)


async def counts(tx: ReadSession, brand: BrandId) -> Mapping[ChannelId, dict[str, int]]:
    found: dict[ChannelId, dict[str, int]] = {}
    for row in await tx.all(_COUNTS, {"brand_id": brand}):
        found.setdefault(row.channel_id, {})[row.state] = row.items
    return found


async def hunts(tx: ReadSession, brand: BrandId) -> Mapping[ChannelId, int]:
    """Hunts for culprits per channel."""
    return {row.channel_id: row.hunts for row in await tx.all(_HUNTS, {"brand_id": brand})}


async def channel_items(
    tx: ReadSession, brand: BrandId, channel: ChannelId, *, state: str | None, after: str, limit: int
) -> Sequence[Row[Any]]:
    params = {"brand_id": brand, "channel_id": channel, "state": state, "after": after, "limit": limit}
    return await tx.all(_ITEMS, params)


async def item(tx: ReadSession, brand: BrandId, item_id: str) -> Row[Any] | None:
    return await tx.one_or_none(_ITEM, {"brand_id": brand, "item_id": item_id})


async def items_by_sku(tx: ReadSession, brand: BrandId, sku: str) -> Sequence[Row[Any]]:
    return await tx.all(_BY_SKU, {"brand_id": brand, "sku": sku})


async def states(tx: ReadSession, brand: BrandId, item_id: str, *, sandbox_only: bool) -> Sequence[Row[Any]]:
    params = {"brand_id": brand, "item_id": item_id, "sandbox_only": sandbox_only}
    return await tx.all(_STATES, params)


async def timeline(
    tx: ReadSession,
    brand: BrandId,
    item_id: str,
    *,
    sandbox_only: bool,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    params = {
        "brand_id": brand,
        "item_id": item_id,
        "sandbox_only": sandbox_only,
        "before_at": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit,
    }
    return await tx.all(_TIMELINE, params)


async def lag(tx: ReadSession, brand: BrandId, *, since: datetime, sandbox_only: bool) -> Sequence[Row[Any]]:
    return await tx.all(_LAG, {"brand_id": brand, "since": since, "sandbox_only": sandbox_only})
