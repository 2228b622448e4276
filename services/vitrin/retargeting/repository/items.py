"""SQL of the small replica of the catalog. The highest version wins in the statement, whatever the order of arrival."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text

from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.retargeting.domain.items import Item, ItemPart, OfferPart

Key = tuple[BrandId, str]
VARIANT: Final = "variant:"
"""Before the shop's own id of a variant, where a page knows no other."""
_ITEM_COLUMNS: Final = {
    "brand_id": "uuid",
    "item_id": "text",
    "content_version": "bigint",
    "deleted": "boolean",
    "offer_floor": "bigint",
    "group_id": "text",
    "brand": "text",
    "category": "text",
    "product_type": "text",
    "shop_variant_id": "text",
}
_NEWER: Final = ", ".join(
    f"{name} = case when excluded.content_version > replica_items.content_version"
    f" then excluded.{name} else replica_items.{name} end"
    for name in ("deleted", "group_id", "brand", "category", "product_type", "shop_variant_id")
)
_SAVE_ITEMS: Final = (
    f"insert into replica_items ({', '.join(_ITEM_COLUMNS)}) select {', '.join(_ITEM_COLUMNS)} from {{source}}"
    f" order by brand_id, item_id on conflict (brand_id, item_id) do update set {_NEWER},"
    " content_version = greatest(replica_items.content_version, excluded.content_version),"
    " offer_floor = greatest(replica_items.offer_floor, excluded.offer_floor)"
)
_DROP_VOID: Final = (
    "delete from replica_offers o using {source} where o.brand_id = new.brand_id and o.item_id = new.item_id"
    " and o.offer_version <= new.offer_floor"
)
_OFFER_COLUMNS: Final = {
    "brand_id": "uuid",
    "item_id": "text",
    "market": "text",
    "offer_version": "bigint",
    "price_minor": "bigint",
    "currency": "text",
    "sale_minor": "bigint",
    "sale_start": "timestamptz",
    "sale_end": "timestamptz",
    "availability": "text",
}
_SAVE_OFFERS: Final = (
    f"insert into replica_offers ({', '.join(_OFFER_COLUMNS)}) select {', '.join(_OFFER_COLUMNS)} from {{source}}"
    " where not exists (select from replica_items i where i.brand_id = new.brand_id and i.item_id = new.item_id"
    " and i.offer_floor >= new.offer_version) order by brand_id, item_id, market"
    " on conflict (brand_id, item_id, market) do update set "
    + ", ".join(
        f"{name} = excluded.{name}"
        for name in _OFFER_COLUMNS
        if name not in ("brand_id", "item_id", "market")
    )
    + " where replica_offers.offer_version < excluded.offer_version"
)
_FIND: Final = (
    "select i.brand_id, i.item_id, i.group_id, i.brand, i.category, i.product_type, o.market, o.offer_version,"
    " o.price_minor, o.currency, o.sale_minor, o.sale_start, o.sale_end, o.availability,"
    " coalesce(b.default_market, '') as default_market from {source}"
    " join replica_items i on i.brand_id = new.brand_id and i.item_id = new.item_id and not i.deleted"
    " left join replica_offers o on o.brand_id = i.brand_id and o.item_id = i.item_id"
    " and o.offer_version > i.offer_floor"
    " left join access_brands b on b.brand_id = i.brand_id"
)


_OF_VARIANTS: Final = (
    "select i.brand_id, new.named, min(i.item_id) as item_id from {source} join replica_items i"
    " on i.brand_id = new.brand_id and i.shop_variant_id = new.variant_id and i.shop_variant_id <> ''"
    " and not i.deleted group by 1, 2 having count(*) = 1"
)


async def of_variants(session: WriteSession, named: Sequence[Key]) -> Mapping[Key, str]:
    """The items that pages of a shop name by its own variant, `variant:<id>`, as the event calls them; not those that
    two shops of the brand may mean."""
    rows = [(brand, name, name.removeprefix(VARIANT)) for brand, name in named]
    if not rows:
        return {}
    columns = {"brand_id": "uuid", "named": "text", "variant_id": "text"}
    source = await row_source(session, "named_variants", columns, rows)
    found = await session.all(text(_OF_VARIANTS.format(source=source.sql)), source.params)
    return {(row.brand_id, row.named): row.item_id for row in found}


async def save_items(tx: WriteSession, parts: Mapping[Key, ItemPart]) -> None:
    """One part per key."""
    rows = [
        (
            brand,
            item_id,
            one.content_version,
            one.deleted,
            one.offer_floor,
            one.group_id,
            one.brand,
            one.category,
            one.product_type,
            one.shop_variant_id,
        )
        for (brand, item_id), one in parts.items()
    ]
    if rows:
        source = await row_source(tx, "new_items", _ITEM_COLUMNS, rows)
        await tx.execute(text(_SAVE_ITEMS.format(source=source.sql)), source.params)
    floors = [(brand, item_id, one.offer_floor) for (brand, item_id), one in parts.items() if one.offer_floor]
    if floors:
        columns = {"brand_id": "uuid", "item_id": "text", "offer_floor": "bigint"}
        source = await row_source(tx, "new_floors", columns, floors)
        await tx.execute(text(_DROP_VOID.format(source=source.sql)), source.params)


async def save_offers(tx: WriteSession, parts: Mapping[tuple[BrandId, str, str], OfferPart]) -> None:
    """One part per key; after `save_items`, whose floors count."""
    rows = [
        (
            brand,
            item_id,
            market,
            one.offer_version,
            one.price_minor,
            one.currency,
            one.sale_minor,
            one.sale_start,
            one.sale_end,
            one.availability,
        )
        for (brand, item_id, market), one in parts.items()
    ]
    if rows:
        source = await row_source(tx, "new_offers", _OFFER_COLUMNS, rows)
        await tx.execute(text(_SAVE_OFFERS.format(source=source.sql)), source.params)


async def find(session: WriteSession, wanted: Sequence[Key]) -> Mapping[Key, Item]:
    """Those that the catalog has."""
    if not wanted:
        return {}
    source = await row_source(session, "wanted", {"brand_id": "uuid", "item_id": "text"}, wanted)
    found: dict[Key, Item] = {}
    offers: dict[Key, list[OfferPart]] = {}
    for row in await session.all(text(_FIND.format(source=source.sql)), source.params):
        key = (row.brand_id, row.item_id)
        mine = offers.setdefault(key, [])
        if row.market is not None:
            mine.append(
                OfferPart(
                    row.item_id,
                    row.market,
                    row.offer_version,
                    row.price_minor,
                    row.currency,
                    row.sale_minor,
                    row.sale_start,
                    row.sale_end,
                    row.availability,
                )
            )
        found[key] = Item(row.group_id, row.brand, row.category, row.product_type, mine, row.default_market)
    return found
