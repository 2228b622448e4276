"""Where carts go on, the items behind platform ids, and what became of carts."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ChannelId, ConnectionId

_NAME_IT: Final = text("select set_config('app.lookup_checkout', :checkout_id, true)")
_BRAND_OF: Final = text("select brand_id from checkouts where checkout_id = :checkout_id")
_COLUMNS: Final = (
    "brand_id, channel_id, checkout_id, connection_id, storefront_url, coupons, changed_at, changed_by"
)
_GET: Final = text(
    f"select {_COLUMNS} from checkouts where brand_id = :brand_id and channel_id = :channel_id"
)
_BY_ID: Final = text(
    f"select {', '.join('k.' + name.strip() for name in _COLUMNS.split(','))}, c.market, c.language, c.state,"
    " r.payload as connection, r.deleted as connection_deleted"
    " from checkouts k join channels c on c.brand_id = k.brand_id and c.channel_id = k.channel_id"
    " left join replica_connections r on r.brand_id = k.brand_id and r.connection_id = k.connection_id"
    " where k.brand_id = :brand_id and k.checkout_id = :checkout_id"
)
_SAVE: Final = text(
    f"insert into checkouts ({_COLUMNS}) values (:brand_id, :channel_id, :checkout_id, :connection_id,"
    " :storefront_url, cast(:coupons as jsonb), :changed_at, :changed_by)"
    " on conflict (brand_id, channel_id) do update set connection_id = excluded.connection_id,"
    " storefront_url = excluded.storefront_url, coupons = excluded.coupons, changed_at = excluded.changed_at,"
    f" changed_by = excluded.changed_by returning {_COLUMNS}"
)
_DELETE: Final = text("delete from checkouts where brand_id = :brand_id and channel_id = :channel_id")
_CONNECTIONS: Final = text(
    "select connection_id, payload from replica_connections where brand_id = :brand_id and (not deleted or :gone)"
    " order by connection_id"
)
_ITEMS: Final = text(
    "select k.platform_item_id, i.item_id, i.deleted, i.content, o.offer from channel_ids k"
    " join replica_items i on i.brand_id = k.brand_id and i.item_id = k.item_id"
    " left join replica_offers o on o.brand_id = k.brand_id and o.item_id = k.item_id and o.market = :market"
    " where k.brand_id = :brand_id and k.channel_id = :channel_id"
    " and k.platform_item_id = any(cast(:ids as text[]))"
)
_NOTE: Final = text(
    "insert into checkout_handoffs (at, handoff_id, brand_id, channel_id, outcome, lines, troubles)"
    " values (:at, :handoff_id, :brand_id, :channel_id, :outcome, :lines, cast(:troubles as jsonb))"
)
_HANDOFFS: Final = text(
    "select at, handoff_id, outcome, lines, troubles from checkout_handoffs"
    " where brand_id = :brand_id and channel_id = :channel_id"
    " and (cast(:outcome as text) is null or outcome = :outcome)"
    " and (cast(:before_at as timestamptz) is null or (at, handoff_id) < (:before_at, cast(:before_id as uuid)))"
    " order by at desc, handoff_id desc limit :limit"
)


async def brand_of(tx: ReadSession, checkout_id: UUID) -> BrandId | None:
    """In a lookup, which shows this one row and no other."""
    await tx.execute(_NAME_IT, {"checkout_id": str(checkout_id)})
    found = await tx.scalar(_BRAND_OF, {"checkout_id": checkout_id})
    return None if found is None else BrandId(found)


async def get(tx: ReadSession, brand: BrandId, channel: ChannelId) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "channel_id": channel})


async def by_id(tx: ReadSession, brand: BrandId, checkout_id: UUID) -> Row[Any] | None:
    """With its channel's market and language, and the shop's connection (a ConnectionChanged) as it is now."""
    return await tx.one_or_none(_BY_ID, {"brand_id": brand, "checkout_id": checkout_id})


async def save(tx: WriteSession, values: Mapping[str, Any]) -> Row[Any]:
    """The id stays where there is one."""
    coupons = values["coupons"]
    row = await tx.one_or_none(_SAVE, {**values, "coupons": None if coupons is None else json.dumps(coupons)})
    assert row is not None
    return row


async def delete(tx: WriteSession, brand: BrandId, channel: ChannelId) -> bool:
    return (await tx.execute(_DELETE, {"brand_id": brand, "channel_id": channel})).rowcount > 0


async def connections(
    tx: ReadSession, brand: BrandId, *, gone: bool = False
) -> list[tuple[ConnectionId, bytes]]:
    """Payloads are ConnectionChanged. `gone`: the disconnected ones too."""
    rows = await tx.all(_CONNECTIONS, {"brand_id": brand, "gone": gone})
    return [(ConnectionId(row.connection_id), bytes(row.payload)) for row in rows]


async def items(
    tx: ReadSession, brand: BrandId, channel: ChannelId, *, market: str, ids: Sequence[str]
) -> Sequence[Row[Any]]:
    """What the channel calls by these ids, with content (ItemContent) and offer (OfferChanged, None: none)."""
    params = {"brand_id": brand, "channel_id": channel, "market": market, "ids": list(ids)}
    return await tx.all(_ITEMS, params)


async def note(tx: WriteSession, values: Mapping[str, Any]) -> None:
    await tx.execute(_NOTE, {**values, "troubles": json.dumps(values["troubles"])})


async def handoffs(
    tx: ReadSession,
    brand: BrandId,
    channel: ChannelId,
    *,
    outcome: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """The newest first."""
    params = {
        "brand_id": brand,
        "channel_id": channel,
        "outcome": outcome,
        "before_at": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit,
    }
    return await tx.all(_HANDOFFS, params)
