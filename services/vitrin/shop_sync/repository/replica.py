"""The replica of items and offers, and of connections. Locks in key order; the brand is in every query."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.shop_sync.domain.replica import Content, ItemReplica, Offer, Stamp
from vitrin.shop_sync.repository.bulk import Insert, arrays, transpose

Key = tuple[BrandId, str]

_KEYS: Final = {"brand_ids": "uuid", "item_ids": "text"}
_ITEMS: Final = {
    "brand_id": "uuid",
    "item_id": "text",
    "content_version": "bigint",
    "deleted": "boolean",
    "content": "bytea",
    "sku": "text",
    "offer_floor": "bigint",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "actor": "text",
}
_OFFERS: Final = {
    "brand_id": "uuid",
    "item_id": "text",
    "market": "text",
    "offer_version": "bigint",
    "offer": "bytea",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "actor": "text",
}
_ENSURE: Final = text(
    "insert into replica_items (brand_id, item_id)"
    f" select b, i from {arrays(_KEYS)} as k (b, i) order by b, i on conflict do nothing"
)
_LOCK: Final = text(
    "select brand_id, item_id, content_version, deleted, content, offer_floor, occurred_at, received_at, actor"
    f" from replica_items where (brand_id, item_id) in (select * from {arrays(_KEYS)})"
    " order by brand_id, item_id for update"
)
_LOAD_OFFERS: Final = text(
    "select brand_id, item_id, market, offer_version, offer, occurred_at, received_at, actor"
    f" from replica_offers where (brand_id, item_id) in (select * from {arrays(_KEYS)})"
)
_SAVE_ITEMS: Final = Insert(
    "replica_items",
    _ITEMS,
    "on conflict (brand_id, item_id) do update set content_version = excluded.content_version,"
    " deleted = excluded.deleted, content = excluded.content, sku = excluded.sku,"
    " offer_floor = excluded.offer_floor, occurred_at = excluded.occurred_at,"
    " received_at = excluded.received_at, actor = excluded.actor",
)
_SAVE_OFFERS: Final = Insert(
    "replica_offers",
    _OFFERS,
    "on conflict (brand_id, item_id, market) do update set offer_version = excluded.offer_version,"
    " offer = excluded.offer, occurred_at = excluded.occurred_at, received_at = excluded.received_at,"
    " actor = excluded.actor",
)
_DROP_VOID: Final = text(
    f"delete from replica_offers o using (select * from {arrays(_KEYS | {'floors': 'bigint'})})"
    " as k (b, i, floor) where o.brand_id = k.b and o.item_id = k.i and o.offer_version <= k.floor"
)
_NEXT: Final = text(
    "select brand_id, item_id, content_version, deleted, content, offer_floor, occurred_at, received_at, actor"
    " from replica_items where brand_id = :brand_id and item_id > :after"
    " order by brand_id, item_id limit :limit for update"
)
_COUNT: Final = text("select count(*) from replica_items where brand_id = :brand_id and content_version > 0")
_SHARE_BRANDS: Final = text(
    "select pg_advisory_xact_lock_shared(hashtextextended(k, 0)) from"
    " (select unnest(cast(:keys as text[])) as k order by 1) as ordered"
)
_HOLD_BRANDS: Final = text(
    "select pg_advisory_xact_lock(hashtextextended(k, 0)) from"
    " (select unnest(cast(:keys as text[])) as k order by 1) as ordered"
)
_CONNECTION: Final = text(
    "insert into replica_connections (brand_id, connection_id, version, deleted, payload)"
    " values (:brand_id, :connection_id, :version, :deleted, :payload)"
    " on conflict (brand_id, connection_id) do update set version = excluded.version,"
    " deleted = excluded.deleted, payload = excluded.payload"
    " where replica_connections.version < excluded.version returning version"
)


async def share_brands(tx: WriteSession, brands: Sequence[BrandId]) -> None:
    """Held by whoever changes items, against `hold_brands`: no channel opens between reading the channels of a
    brand and the commit, so a new channel's first sync and the changes after it leave no gap between them."""
    await tx.execute(_SHARE_BRANDS, {"keys": [f"channels:{brand}" for brand in brands]})


async def hold_brands(tx: WriteSession, brands: Sequence[BrandId]) -> None:
    await tx.execute(_HOLD_BRANDS, {"keys": [f"channels:{brand}" for brand in brands]})


async def lock(tx: WriteSession, keys: Sequence[Key]) -> dict[Key, ItemReplica]:
    """The replicas of these items, locked in key order; both lanes of an item meet at this lock."""
    ordered = sorted(set(keys), key=lambda key: (key[0].bytes, key[1].encode()))
    params = {"brand_ids": [key[0] for key in ordered], "item_ids": [key[1] for key in ordered]}
    await tx.execute(_ENSURE, params)
    rows = await tx.all(_LOCK, params)
    return _with_offers(rows, await tx.all(_LOAD_OFFERS, params))


async def lock_after(tx: WriteSession, brand: BrandId, *, after: str, limit: int) -> dict[Key, ItemReplica]:
    """The next items of a brand in key order, locked."""
    rows = await tx.all(_NEXT, {"brand_id": brand, "after": after, "limit": limit})
    params = {"brand_ids": [row.brand_id for row in rows], "item_ids": [row.item_id for row in rows]}
    return _with_offers(rows, await tx.all(_LOAD_OFFERS, params))


def _with_offers(rows: Sequence[Row[Any]], offer_rows: Sequence[Row[Any]]) -> dict[Key, ItemReplica]:
    offers: dict[Key, dict[str, Offer]] = {}
    for row in offer_rows:
        stamp = Stamp(row.occurred_at, row.received_at, row.actor)
        register = Offer(row.offer_version, bytes(row.offer), stamp)
        offers.setdefault((row.brand_id, row.item_id), {})[row.market] = register
    found: dict[Key, ItemReplica] = {}
    for row in rows:
        stamp = Stamp(row.occurred_at, row.received_at, row.actor)
        key = (row.brand_id, row.item_id)
        found[key] = ItemReplica(
            content=Content(row.content_version, row.deleted, bytes(row.content), stamp),
            offer_floor=row.offer_floor,
            offers=offers.get(key, {}),
        )
    return found


async def save(
    tx: WriteSession,
    before: Mapping[Key, ItemReplica],
    after: Mapping[Key, ItemReplica],
    skus: Mapping[Key, str],
) -> None:
    """Write what differs. `before` must be locked."""
    items, offers, floors = [], [], []
    for key, new in after.items():
        old = before[key]
        if new.content != old.content or new.offer_floor != old.offer_floor:
            stamp = new.content.stamp
            register = (new.content.version, new.content.deleted, new.content.payload, skus.get(key, ""))
            items.append(
                (*key, *register, new.offer_floor, stamp.occurred_at, stamp.received_at, stamp.actor)
            )
        if new.offer_floor > old.offer_floor:
            floors.append((*key, new.offer_floor))
        for market, offer in new.offers.items():
            if old.offers.get(market) != offer:
                stamp = offer.stamp
                times = (stamp.occurred_at, stamp.received_at, stamp.actor)
                offers.append((*key, market, offer.version, offer.payload, *times))
    if items:
        await _SAVE_ITEMS.rows(tx, items)
    if floors:
        await tx.execute(_DROP_VOID, transpose(_KEYS | {"floors": "bigint"}, floors))
    if offers:
        await _SAVE_OFFERS.rows(tx, offers)


async def count(tx: ReadSession, brand: BrandId) -> int:
    return int(await tx.scalar(_COUNT, {"brand_id": brand}))


async def save_connection(
    tx: WriteSession, brand: BrandId, connection: ConnectionId, *, version: int, deleted: bool, payload: bytes
) -> bool:
    """True when this version is newer than what was known."""
    row = await tx.one_or_none(
        _CONNECTION,
        {
            "brand_id": brand,
            "connection_id": connection,
            "version": version,
            "deleted": deleted,
            "payload": payload,
        },
    )
    return row is not None
