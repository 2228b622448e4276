"""SQL of what lies where in a shop. An inventory item's row is where products and stock meet: both lock it, in key
order, before they lock items, so that neither misses what the other has just said."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from vitrin.catalog.shop.repository_products import Key
from vitrin.catalog.shop.stock import Inventory
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId
from vitrin.platforms.shop import ShopLocation, StockLevel


@dataclass(frozen=True, slots=True)
class Named:
    """What a product says of an inventory item. `item_id` "": it is no item of ours. `quantity` None: not tracked.
    `told` False: it does not say whether it is tracked, and what is known of that stays."""

    inventory_item_id: str
    item_id: str
    quantity: int | None
    at: datetime
    told: bool = True


@dataclass(frozen=True, slots=True)
class LocationRow:
    """`name` "" while only stock has named it. `chosen`: what the brand said, None: nothing."""

    location_id: str
    name: str
    active: bool
    chosen: bool | None
    counted: bool


_LOCATIONS: Final = text(
    """
    select location_id, name, active, counted as chosen,
           case when bool_or(counted is not null) over () then coalesce(counted, false) else active end as counts
    from shop_locations where brand_id = :brand and connection_id = :connection order by location_id
    """
)
_CHOOSE: Final = text(
    "update shop_locations set counted = case when cast(:counted as text[]) is null then null"
    " else location_id = any(cast(:counted as text[])) end"
    " where brand_id = :brand and connection_id = :connection"
)
_HOLD_PAGE: Final = text(
    "select inventory_item_id from shop_inventory where brand_id = :brand and connection_id = :connection"
    " and inventory_item_id > :after order by inventory_item_id limit :limit for update"
)
_DROP_PARKED: Final = text(
    """
    with old as (
        select connection_id, inventory_item_id from shop_inventory
        where brand_id = :brand and item_id = '' and seen_at < :before
        order by connection_id, inventory_item_id limit :limit for update skip locked
    ), levels as (
        delete from shop_stock s using old where s.brand_id = :brand and s.connection_id = old.connection_id
            and s.inventory_item_id = old.inventory_item_id
    )
    delete from shop_inventory i using old where i.brand_id = :brand and i.connection_id = old.connection_id
        and i.inventory_item_id = old.inventory_item_id
    """
)
_DROP_GONE: Final = text(
    """
    delete from shop_products p using (
        select connection_id, product_id from shop_products
        where brand_id = :brand and gone_at is not null and seen_at < :before
        order by connection_id, product_id limit :limit for update skip locked) as old
    where p.brand_id = :brand and p.connection_id = old.connection_id and p.product_id = old.product_id
    """
)
_MAKE: Final = text(
    """
    insert into shop_inventory (brand_id, connection_id, inventory_item_id, seen_at)
    select :brand, :connection, id, :now from unnest(cast(:ids as text[])) as id order by id collate "C"
    on conflict do nothing
    """
)
_HOLD: Final = text(
    "select inventory_item_id from shop_inventory where brand_id = :brand and connection_id = :connection"
    " and inventory_item_id = any(cast(:ids as text[])) order by inventory_item_id for update"
)
_NAME: Final = text(
    """
    update shop_inventory set item_id = new.item_id,
        tracked = case when new.told then new.quantity is not null else tracked end,
        payload_quantity = new.quantity, payload_at = new.at, seen_at = :now
    from unnest(cast(:ids as text[]), cast(:items as text[]), cast(:quantities as bigint[]),
                cast(:moments as timestamptz[]), cast(:told as boolean[])) as new(id, item_id, quantity, at, told)
    where brand_id = :brand and connection_id = :connection and inventory_item_id = new.id
    """
)
_FORGET: Final = text(
    "update shop_inventory set item_id = '', seen_at = :now where brand_id = :brand"
    " and connection_id = :connection and item_id = any(cast(:items as text[]))"
)
_MAKE_LOCATIONS: Final = text(
    """
    insert into shop_locations (brand_id, connection_id, location_id)
    select :brand, :connection, id from unnest(cast(:ids as text[])) as id order by id collate "C"
    on conflict do nothing returning location_id
    """
)
_SAVE_LOCATIONS: Final = text(
    """
    insert into shop_locations (brand_id, connection_id, location_id, name, active)
    select :brand, :connection, id, name, active
    from unnest(cast(:ids as text[]), cast(:names as text[]), cast(:active as boolean[])) as new(id, name, active)
    order by id collate "C"
    on conflict (brand_id, connection_id, location_id) do update
        set name = excluded.name, active = excluded.active
    """
)
_SAVE_LEVELS: Final = text(
    """
    insert into shop_stock as old (brand_id, connection_id, inventory_item_id, location_id, available, source_at)
    select :brand, :connection, id, location, available, at
    from unnest(cast(:ids as text[]), cast(:locations as text[]), cast(:available as bigint[]),
                cast(:moments as timestamptz[])) as new(id, location, available, at)
    order by id collate "C", location collate "C"
    on conflict (brand_id, connection_id, inventory_item_id, location_id) do update
        set available = excluded.available, source_at = excluded.source_at
        where excluded.source_at >= old.source_at
    returning inventory_item_id, source_at
    """
)
_INVENTORY: Final = text(
    """
    with chosen as (
        select exists (select 1 from shop_locations where brand_id = :brand and connection_id = :connection
                       and counted is not null) as made
    ), places as (
        select location_id, active, case when made then coalesce(counted, false) else active end as counts
        from shop_locations cross join chosen where brand_id = :brand and connection_id = :connection
    ), sole as (
        select count(*) filter (where active) = 1 and count(*) filter (where active and counts) = 1 as one from places
    )
    select i.inventory_item_id, i.item_id, i.tracked, i.payload_quantity, i.payload_at,
           count(s.location_id) as levels, coalesce(sum(s.available) filter (where p.counts), 0) as available,
           max(s.source_at) as level_at, (select one from sole) as sole_location
    from shop_inventory i
    left join shop_stock s on s.brand_id = i.brand_id and s.connection_id = i.connection_id
        and s.inventory_item_id = i.inventory_item_id
    left join places p on p.location_id = s.location_id
    where i.brand_id = :brand and i.connection_id = :connection
        and i.inventory_item_id = any(cast(:ids as text[]))
    group by i.inventory_item_id, i.item_id, i.tracked, i.payload_quantity, i.payload_at
    """
)


def _of(key: Key) -> dict[str, Any]:
    return {"brand": key.brand, "connection": key.connection}


async def hold_inventory(tx: WriteSession, key: Key, ids: Collection[str], *, now: datetime) -> None:
    """Rows for all of them, under their locks."""
    of = {**_of(key), "ids": sorted(set(ids))}
    await tx.execute(_MAKE, {**of, "now": now})
    await tx.execute(_HOLD, of)


async def name_inventory(tx: WriteSession, key: Key, named: Sequence[Named], *, now: datetime) -> None:
    columns = {
        "ids": [one.inventory_item_id for one in named],
        "items": [one.item_id for one in named],
        "quantities": [one.quantity for one in named],
        "moments": [one.at for one in named],
        "told": [one.told for one in named],
    }
    await tx.execute(_NAME, {**_of(key), **columns, "now": now})


async def forget_items(tx: WriteSession, key: Key, items: Collection[str], *, now: datetime) -> None:
    """Their stock waits for an item again."""
    await tx.execute(_FORGET, {**_of(key), "items": list(items), "now": now})


async def save_levels(
    tx: WriteSession, key: Key, levels: Sequence[StockLevel]
) -> tuple[dict[str, datetime], int]:
    """Newest moment of each inventory item that something new was said of, and how many locations were unknown.
    `levels` in key order, one per place."""
    locations = sorted({level.location_id for level in levels})
    unknown = await tx.all(_MAKE_LOCATIONS, {**_of(key), "ids": locations})
    columns = {
        "ids": [level.inventory_item_id for level in levels],
        "locations": [level.location_id for level in levels],
        "available": [level.available for level in levels],
        "moments": [level.updated_at for level in levels],
    }
    moments: dict[str, datetime] = {}
    for row in await tx.all(_SAVE_LEVELS, {**_of(key), **columns}):
        moments[row.inventory_item_id] = max(moments.get(row.inventory_item_id, row.source_at), row.source_at)
    return moments, len(unknown)


async def save_locations(tx: WriteSession, key: Key, locations: Sequence[ShopLocation]) -> None:
    columns = {
        "ids": [one.location_id for one in locations],
        "names": [one.name for one in locations],
        "active": [one.active for one in locations],
    }
    await tx.execute(_SAVE_LOCATIONS, {**_of(key), **columns})


async def inventory(tx: ReadSession, key: Key, ids: Collection[str]) -> Mapping[str, Inventory]:
    rows = await tx.all(_INVENTORY, {**_of(key), "ids": list(ids)})
    return {
        row.inventory_item_id: Inventory(
            inventory_item_id=row.inventory_item_id,
            item_id=row.item_id,
            tracked=row.tracked,
            payload_quantity=row.payload_quantity,
            payload_at=row.payload_at,
            levels=row.levels,
            available=int(row.available),
            level_at=row.level_at,
            sole_location=bool(row.sole_location),
        )
        for row in rows
    }


async def locations(tx: ReadSession, key: Key) -> list[LocationRow]:
    """In the order of their ids."""
    rows = await tx.all(_LOCATIONS, _of(key))
    return [LocationRow(row.location_id, row.name, row.active, row.chosen, row.counts) for row in rows]


async def choose_locations(tx: WriteSession, key: Key, counted: Sequence[str] | None) -> None:
    """Exactly these count; None: the choice is taken back."""
    await tx.execute(_CHOOSE, {**_of(key), "counted": None if counted is None else list(counted)})


async def hold_page(tx: WriteSession, key: Key, *, after: str, limit: int) -> list[str]:
    """The next inventory items, under their locks."""
    rows = await tx.all(_HOLD_PAGE, {**_of(key), "after": after, "limit": limit})
    return [row.inventory_item_id for row in rows]


async def drop_parked(tx: WriteSession, brand: BrandId, *, before: datetime, limit: int) -> int:
    """Inventory items that belong to no item, and their levels; how many."""
    done = await tx.execute(_DROP_PARKED, {"brand": brand, "before": before, "limit": limit})
    return int(done.rowcount)


async def drop_gone(tx: WriteSession, brand: BrandId, *, before: datetime, limit: int) -> int:
    """Products that were deleted at the shop; how many."""
    done = await tx.execute(_DROP_GONE, {"brand": brand, "before": before, "limit": limit})
    return int(done.rowcount)
