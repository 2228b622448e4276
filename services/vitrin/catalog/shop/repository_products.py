"""SQL of a shop's products and of the items that they are. Rows are locked in key order: products, the brand's matching
lock, inventory, items."""

import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import text

from vitrin.catalog.domain import FieldProblem
from vitrin.catalog.shop.mapping import Known
from vitrin.catalog.shop.matching import Candidate
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId

SAME_HANDLE_MAX: Final = 5_000
SAME_CODE_MAX: Final = 3
"""More items of one SKU need not be read: two are ambiguous already."""

_MATCHING: Final = zlib.crc32(b"vitrin.catalog.matching") & 0x7FFFFFFF
WARNINGS_COUNTED_MAX: Final = 10_000
_warnings_encoder: Final = msgspec.json.Encoder()
_options_decoder: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class Key(NamedTuple):
    """A shop of a brand."""

    brand: BrandId
    connection: ConnectionId


@dataclass(frozen=True, slots=True)
class HeldProduct:
    """Moments of the shop under the row lock: of what is applied, and of the deletion."""

    source_at: datetime | None
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Binding:
    """`warnings` are saved and not read."""

    variant_id: str
    product_id: str
    item_id: str
    inventory_item_id: str
    warnings: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """A live item that is the variant of some shop of the brand."""

    item_id: str
    source: str
    variant_id: str
    sku: str
    handle: str
    options: tuple[tuple[str, str], ...]


class Warned(NamedTuple):
    item_id: str
    product_id: str
    variant_id: str
    warnings: list[dict[str, str]]


_ITEM_WARNINGS: Final = text("select warnings from shop_variants where brand_id = :brand and item_id = :item")
_COUNT_WARNINGS: Final = text(
    "select count(*) from (select 1 from shop_variants where brand_id = :brand and connection_id = :connection"
    " and warnings is not null limit :limit) as found"
)
_PAGE_WARNINGS: Final = text(
    "select item_id, product_id, variant_id, warnings from shop_variants where brand_id = :brand"
    " and connection_id = :connection and warnings is not null and item_id > :after order by item_id limit :limit"
)
_ANY_BOUND: Final = text("select exists (select 1 from shop_variants where brand_id = :brand)")
_BOUND_ITEMS: Final = text(
    """
    with meant as (
        select found.item_id from unnest(cast(:handles as text[])) as key cross join lateral (
            select item_id from items where brand_id = :brand and left(handle, 100) = left(key, 100) and handle = key
                and handle <> '' and content is not null limit :handles_max) as found
        union
        select item_id from shop_variants where brand_id = :brand and variant_id = any(cast(:variants as text[]))
        union
        select key from unnest(cast(:ids as text[])) as key
    )
    select i.item_id, i.source, i.handle, v.variant_id, i.sku, cast(i.options as text) as options
    from meant
    join shop_variants v on v.brand_id = :brand and v.item_id = meant.item_id
    join items i on i.brand_id = :brand and i.item_id = meant.item_id and i.content is not null
    order by i.item_id
    """
)
_MAKE_PRODUCT: Final = text(
    "insert into shop_products (brand_id, connection_id, product_id, seen_at)"
    " values (:brand, :connection, :product, :now) on conflict do nothing"
)
_HOLD_PRODUCT: Final = text(
    "select source_at, gone_at from shop_products"
    " where brand_id = :brand and connection_id = :connection and product_id = :product for update"
)
_MARK_PRODUCT: Final = text(
    "update shop_products set source_at = :source_at, gone_at = :gone_at, seen_at = :now"
    " where brand_id = :brand and connection_id = :connection and product_id = :product"
)
_LOCK_MATCHING: Final = text("select pg_advisory_xact_lock(:space, hashtext(:brand))")
_BINDINGS: Final = text(
    "select variant_id, product_id, item_id, inventory_item_id from shop_variants"
    " where brand_id = :brand and connection_id = :connection"
    " and (product_id = :product or variant_id = any(cast(:variants as text[]))) order by variant_id"
)
_CANDIDATES: Final = text(
    """
    with meant as (
        (select item_id from items where brand_id = :brand and left(handle, 100) = left(:handle, 100)
            and handle = :handle and handle <> '' and content is not null limit :handles_max)
        union
        select found.item_id from unnest(cast(:variants as text[])) as key cross join lateral (
            select item_id from items where brand_id = :brand and variant_id = key and variant_id <> ''
                and content is not null limit :codes_max) as found
        union
        select found.item_id from unnest(cast(:skus as text[])) as key cross join lateral (
            select item_id from items where brand_id = :brand and left(sku, 100) = left(key, 100) and sku = key
                and sku <> '' and content is not null limit :codes_max) as found
        union
        select found.item_id from unnest(cast(:gtins as text[])) as key cross join lateral (
            select item_id from items where brand_id = :brand and gtin = key and gtin <> ''
                and content is not null limit :codes_max) as found
        union
        select key from unnest(cast(:ids as text[])) as key
    )
    select meant.item_id, i.source, i.handle, cast(i.options as text) as options, i.sku, i.gtin, i.variant_id,
           i.content is not null as live, v.variant_id is not null as bound
    from meant
    left join items i on i.brand_id = :brand and i.item_id = meant.item_id
    left join shop_variants v on v.brand_id = :brand and v.item_id = meant.item_id
    where i.item_id is not null or v.item_id is not null
    order by meant.item_id
    """
)
_KNOWN: Final = text(
    "select item_id, item_group_id, cast(options as text) as options from items"
    " where brand_id = :brand and item_id = any(cast(:ids as text[])) and content is not null"
)
_UNBIND: Final = text(
    "delete from shop_variants where brand_id = :brand and connection_id = :connection"
    " and variant_id = any(cast(:variants as text[]))"
)
_BIND: Final = text(
    """
    insert into shop_variants (brand_id, connection_id, variant_id, product_id, item_id, inventory_item_id, warnings)
    select :brand, :connection, variant_id, :product, item_id, inventory_item_id, cast(warnings as jsonb)
    from unnest(cast(:variants as text[]), cast(:items as text[]), cast(:inventory as text[]),
        cast(:warnings as text[])) as new(variant_id, item_id, inventory_item_id, warnings)
    on conflict (brand_id, connection_id, variant_id) do update set product_id = excluded.product_id,
        item_id = excluded.item_id, inventory_item_id = excluded.inventory_item_id, warnings = excluded.warnings
    """
)
_PRODUCTS: Final = text(
    "select product_id from shop_products where brand_id = :brand and connection_id = :connection"
    " and gone_at is null and source_at is not null and product_id > :after order by product_id limit :limit"
)


def _of(key: Key) -> dict[str, Any]:
    return {"brand": key.brand, "connection": key.connection}


async def hold_product(tx: WriteSession, key: Key, product_id: str, *, now: datetime) -> HeldProduct:
    """The row, made where it is missing, under its lock."""
    of = {**_of(key), "product": product_id}
    await tx.execute(_MAKE_PRODUCT, {**of, "now": now})
    row = (await tx.all(_HOLD_PRODUCT, of))[0]
    return HeldProduct(row.source_at, row.gone_at)


async def mark_product(
    tx: WriteSession,
    key: Key,
    product_id: str,
    *,
    source_at: datetime | None,
    gone_at: datetime | None,
    now: datetime,
) -> None:
    await tx.execute(
        _MARK_PRODUCT,
        {**_of(key), "product": product_id, "source_at": source_at, "gone_at": gone_at, "now": now},
    )


async def lock_matching(tx: WriteSession, brand: BrandId) -> None:
    """Until the end of the transaction nobody else decides which item of the brand something is."""
    await tx.execute(_LOCK_MATCHING, {"space": _MATCHING, "brand": str(brand)})


async def bindings(tx: ReadSession, key: Key, product_id: str, variant_ids: Collection[str]) -> list[Binding]:
    """Those of the product, and those of these variants wherever they are."""
    rows = await tx.all(_BINDINGS, {**_of(key), "product": product_id, "variants": list(variant_ids)})
    return [Binding(row.variant_id, row.product_id, row.item_id, row.inventory_item_id) for row in rows]


async def candidates(
    tx: ReadSession,
    brand: BrandId,
    *,
    handle: str,
    variants: Collection[str],
    skus: Collection[str],
    gtins: Collection[str],
    ids: Collection[str],
    free: Collection[str],
) -> list[Candidate]:
    """Items that a product's variants could be. `free`: items whose variant is gone from the shop."""
    params = {"brand": brand, "handle": handle, "skus": list(skus), "gtins": list(gtins), "ids": list(ids)}
    limits = {"variants": list(variants), "handles_max": SAME_HANDLE_MAX, "codes_max": SAME_CODE_MAX}
    return [
        Candidate(
            item_id=row.item_id,
            source=row.source or "",
            handle=row.handle or "",
            options=_options_decoder.decode(row.options or "[]"),
            sku=row.sku or "",
            gtin=row.gtin or "",
            variant_id=row.variant_id or "",
            live=bool(row.live),
            bound=row.bound and row.item_id not in free,
        )
        for row in await tx.all(_CANDIDATES, {**params, **limits})
    ]


async def known_items(tx: ReadSession, brand: BrandId, ids: Collection[str]) -> dict[str, Known]:
    rows = await tx.all(_KNOWN, {"brand": brand, "ids": list(ids)})
    return {
        row.item_id: Known(options=_options_decoder.decode(row.options), item_group_id=row.item_group_id)
        for row in rows
    }


async def unbind(tx: WriteSession, key: Key, variant_ids: Iterable[str]) -> None:
    await tx.execute(_UNBIND, {**_of(key), "variants": list(variant_ids)})


async def bind(tx: WriteSession, key: Key, product_id: str, made: Sequence[Binding]) -> None:
    columns = {
        "variants": [one.variant_id for one in made],
        "items": [one.item_id for one in made],
        "inventory": [one.inventory_item_id for one in made],
        "warnings": [
            _warnings_encoder.encode(one.warnings).decode() if one.warnings else None for one in made
        ],
    }
    await tx.execute(_BIND, {**_of(key), "product": product_id, **columns})


async def warnings_of_item(tx: ReadSession, brand: BrandId, item_id: str) -> list[dict[str, str]]:
    """What was left out when a shop told of the item last."""
    found = await tx.scalar(_ITEM_WARNINGS, {"brand": brand, "item": item_id})
    return list(found or ())


async def count_warnings(tx: ReadSession, key: Key) -> int:
    """Items of the shop that lack a field, counted up to WARNINGS_COUNTED_MAX."""
    return int(await tx.scalar(_COUNT_WARNINGS, {**_of(key), "limit": WARNINGS_COUNTED_MAX}) or 0)


async def page_warnings(tx: ReadSession, key: Key, *, after: str, limit: int) -> list[Warned]:
    """In the order of the items' ids."""
    rows = await tx.all(_PAGE_WARNINGS, {**_of(key), "after": after, "limit": limit})
    return [Warned(row.item_id, row.product_id, row.variant_id, row.warnings) for row in rows]


async def products_after(tx: ReadSession, key: Key, *, after: str, limit: int) -> list[str]:
    rows = await tx.all(_PRODUCTS, {**_of(key), "after": after, "limit": limit})
    return [row.product_id for row in rows]


async def any_bound(tx: ReadSession, brand: BrandId) -> bool:
    """Whether a shop of the brand has told of a product."""
    return bool(await tx.scalar(_ANY_BOUND, {"brand": brand}))


async def bound_items(
    tx: ReadSession,
    brand: BrandId,
    *,
    handles: Collection[str],
    variants: Collection[str],
    ids: Collection[str],
) -> list[Bound]:
    """Those with one of the handles, the shop's variant ids, or ids."""
    params = {
        "brand": brand,
        "handles": list(handles),
        "variants": list(variants),
        "ids": list(ids),
        "handles_max": SAME_HANDLE_MAX,
    }
    return [
        Bound(
            row.item_id, row.source, row.variant_id, row.sku, row.handle, _options_decoder.decode(row.options)
        )
        for row in await tx.all(_BOUND_ITEMS, params)
    ]
