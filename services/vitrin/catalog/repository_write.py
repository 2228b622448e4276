"""SQL of the bulk write path: placeholders, locks in key order, and saving what was decided.

Two writers never deadlock: both insert their placeholders, and then lock, in key order (collation "C").
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import text

from vitrin.catalog.changes import ABSENT, Decision, Stored
from vitrin.catalog.domain import (
    Availability,
    ExternalRefs,
    InventoryPolicy,
    ItemContent,
    Offer,
    effective_availability,
)
from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId
from vitrin.kit.money import Money

TITLE_FOLDED_CHARS_MAX: Final = 100

_INSERT_PLACEHOLDERS: Final = text(
    """
    insert into items (brand_id, item_id, created_at, updated_at)
    select :brand, id, :now, :now from unnest(cast(:ids as text[])) as id order by id collate "C"
    on conflict (brand_id, item_id) do nothing
    returning item_id
    """
)
_LOCK: Final = text(
    """
    select item_id, content_version, offer_version, cast(content as text) as content, deleted_at is not null as deleted,
           source, product_id, variant_id, inventory_item_id, handle, cast(options as text) as options, sku, gtin
    from items
    where brand_id = :brand and item_id = any(cast(:ids as text[]))
    order by item_id
    for update
    """
)
OFFER_COLUMNS: Final = """
    offers.item_id, offers.market, offers.currency, offers.price_minor, offers.sale_price_minor, offers.sale_starts_at,
    offers.sale_ends_at, offers.cost_minor, offers.availability, offers.inventory_policy, offers.offer_version,
    (select sum(quantity) from stock_levels s where s.brand_id = offers.brand_id and s.item_id = offers.item_id)
    as quantity
"""
_OFFERS: Final = text(
    f"""
    select {OFFER_COLUMNS} from offers
    where brand_id = :brand and market = :market and item_id = any(cast(:ids as text[]))
    """
)
_DROP_PLACEHOLDERS: Final = text(
    "delete from items where brand_id = :brand and item_id = any(cast(:ids as text[])) and content_version = 0"
)
_ITEM_COLUMNS: Final = {
    "item_id": "text",
    "content_version": "bigint",
    "offer_version": "bigint",
    "content": "text",
    "deleted": "boolean",
    "status": "text",
    "item_group_id": "text",
    "title_folded": "text",
    "sku": "text",
    "gtin": "text",
    "source": "text",
    "product_id": "text",
    "variant_id": "text",
    "inventory_item_id": "text",
    "handle": "text",
    "options": "text",
}
_COPIED: Final = tuple(
    column for column in _ITEM_COLUMNS if column not in {"item_id", "content", "deleted", "options"}
)
_UPDATE_ITEMS: Final = f"""
    update items set {", ".join(f"{column} = new.{column}" for column in _COPIED)},
        content = cast(new.content as jsonb), options = cast(new.options as jsonb),
        deleted_at = case when new.deleted then cast(:now as timestamptz) end, updated_at = :now
    from {{source}} where items.brand_id = :brand and items.item_id = new.item_id
"""
_UPDATE_OFFER_VERSIONS: Final = """
    update items set offer_version = new.offer_version, updated_at = :now
    from {source} where items.brand_id = :brand and items.item_id = new.item_id
"""
_OFFER_TYPES: Final = {
    "item_id": "text",
    "currency": "text",
    "price_minor": "bigint",
    "sale_price_minor": "bigint",
    "sale_starts_at": "timestamptz",
    "sale_ends_at": "timestamptz",
    "cost_minor": "bigint",
    "availability": "text",
    "effective_availability": "text",
    "inventory_policy": "text",
    "offer_version": "bigint",
}
_UPSERT_OFFERS: Final = f"""
    insert into offers (brand_id, market, updated_at, {", ".join(_OFFER_TYPES)})
    select :brand, :market, :now, {", ".join(f"new.{column}" for column in _OFFER_TYPES)} from {{source}}
    on conflict (brand_id, item_id, market) do update set updated_at = excluded.updated_at,
        {", ".join(f"{column} = excluded.{column}" for column in _OFFER_TYPES if column != "item_id")}
"""
_UPSERT_STOCK: Final = """
    insert into stock_levels (brand_id, item_id, location, quantity, updated_at)
    select :brand, new.item_id, :location, new.quantity, :now from {source}
    on conflict (brand_id, item_id, location) do update set quantity = excluded.quantity,
        updated_at = excluded.updated_at
"""
_DELETE_OFFERS: Final = text(
    "delete from offers where brand_id = :brand and item_id = any(cast(:ids as text[]))"
)
_DELETE_STOCK: Final = text(
    "delete from stock_levels where brand_id = :brand and item_id = any(cast(:ids as text[]))"
)
_INSERT_GROUPS: Final = text(
    """
    insert into item_groups (brand_id, item_group_id, created_at)
    select :brand, id, :now from unnest(cast(:ids as text[])) as id order by id collate "C"
    on conflict do nothing
    """
)

_content_decoder: Final = msgspec.json.Decoder(ItemContent)
_options_decoder: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_CONTENT_FIELDS: Final = tuple(field.name for field in fields(ItemContent))
_NOTHING: Final[tuple[object, ...]] = (None, "", (), {})


def encode_content(content: ItemContent) -> str:
    """Stored form: only the fields that have a value, so that a new field costs nothing."""
    values = {name: getattr(content, name) for name in _CONTENT_FIELDS}
    kept = {name: value for name, value in values.items() if value not in _NOTHING}
    return msgspec.json.encode(kept).decode()


def decode_content(stored: str) -> ItemContent:
    return _content_decoder.decode(stored)


async def insert_placeholders(
    tx: WriteSession, *, brand: BrandId, ids: Sequence[str], now: datetime
) -> frozenset[str]:
    """Rows for ids that are not there yet; returns those that this transaction made. Waits for a writer that is
    making the same one."""
    rows = await tx.all(_INSERT_PLACEHOLDERS, {"brand": brand, "ids": list(ids), "now": now})
    return frozenset(row.item_id for row in rows)


async def lock_items(
    tx: WriteSession, *, brand: BrandId, market: str, ids: Sequence[str], fresh: frozenset[str]
) -> dict[str, Stored]:
    """State under the row lock. Offers are read by a second statement: joined to the first they would come from a
    snapshot older than the lock. `fresh` placeholders have none."""
    stored: dict[str, Stored] = dict.fromkeys(fresh, ABSENT)
    others = [item_id for item_id in ids if item_id not in fresh]
    if not others:
        return stored
    items = await tx.all(_LOCK, {"brand": brand, "ids": others})
    found = await tx.all(_OFFERS, {"brand": brand, "market": market, "ids": others})
    offers = {row.item_id: offer_of(row) for row in found}
    for row in items:
        stored[row.item_id] = Stored(
            content_version=row.content_version,
            offer_version=row.offer_version,
            content=None if row.content is None else decode_content(row.content),
            offer=offers.get(row.item_id),
            refs=refs_of(row),
            deleted=row.deleted,
        )
    return stored


async def drop_placeholders(tx: WriteSession, *, brand: BrandId, ids: Sequence[str]) -> None:
    await tx.execute(_DROP_PLACEHOLDERS, {"brand": brand, "ids": list(ids)})


async def save(
    tx: WriteSession,
    decisions: Sequence[Decision],
    *,
    brand: BrandId,
    market: str,
    location: str,
    now: datetime,
) -> None:
    """Write the decisions that change something."""
    keys: dict[str, Any] = {"brand": brand, "now": now}
    whole = [one for one in decisions if one.content_changed or one.refs_changed]
    await _run(
        tx, "items", _UPDATE_ITEMS, columns=_ITEM_COLUMNS, rows=[_item_row(one) for one in whole], params=keys
    )
    versions = [
        (one.change.item_id, one.offer_version)
        for one in decisions
        if one.offer_changed and not (one.content_changed or one.refs_changed)
    ]
    types = {"item_id": "text", "offer_version": "bigint"}
    await _run(tx, "versions", _UPDATE_OFFER_VERSIONS, columns=types, rows=versions, params=keys)
    await _save_offers(tx, decisions, market=market, location=location, keys=keys)
    groups = {one.content.item_group_id for one in whole if one.content is not None}
    if groups - {""}:
        await tx.execute(_INSERT_GROUPS, keys | {"ids": sorted(groups - {""})})


async def _save_offers(
    tx: WriteSession, decisions: Sequence[Decision], *, market: str, location: str, keys: Mapping[str, Any]
) -> None:
    offered = [(one, one.offer) for one in decisions if one.offer_changed and one.offer is not None]
    rows = [_offer_row(one, offer) for one, offer in offered]
    await _run(
        tx, "offers", _UPSERT_OFFERS, columns=_OFFER_TYPES, rows=rows, params={**keys, "market": market}
    )
    stock = [(one.change.item_id, offer.quantity) for one, offer in offered if offer.quantity is not None]
    types = {"item_id": "text", "quantity": "bigint"}
    await _run(tx, "stock", _UPSERT_STOCK, columns=types, rows=stock, params={**keys, "location": location})
    untracked = [
        one.change.item_id
        for one in decisions
        if one.offer_changed and (one.offer is None or one.offer.quantity is None) and one.offer_version > 1
    ]
    if untracked:
        await tx.execute(_DELETE_STOCK, {"brand": keys["brand"], "ids": untracked})
    gone = [one.change.item_id for one in decisions if one.offer_changed and one.offer is None]
    if gone:
        await tx.execute(_DELETE_OFFERS, {"brand": keys["brand"], "ids": gone})


async def _run(
    tx: WriteSession,
    name: str,
    statement: str,
    *,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[object]],
    params: Mapping[str, Any],
) -> None:
    if rows:
        source = await row_source(tx, name, columns, rows)
        await tx.execute(text(statement.format(source=source.sql)), {**params, **source.params})


def _item_row(decision: Decision) -> tuple[object, ...]:
    content, refs = decision.content, decision.refs
    options = msgspec.json.encode(refs.options).decode()
    return (
        decision.change.item_id,
        decision.content_version,
        decision.offer_version,
        None if content is None else encode_content(content),
        content is None,
        "" if content is None else str(content.status),
        "" if content is None else content.item_group_id,
        "" if content is None else fold_title(content.title),
        "" if content is None else content.sku,
        "" if content is None else content.gtin,
        refs.source,
        refs.product_id,
        refs.variant_id,
        refs.inventory_item_id,
        refs.handle,
        options,
    )


def fold_title(title: str) -> str:
    """What titles are searched by: case-folded, the first characters only (a B-tree entry has a limit)."""
    return title.casefold()[:TITLE_FOLDED_CHARS_MAX]


def _offer_row(decision: Decision, offer: Offer) -> tuple[object, ...]:
    return (
        decision.change.item_id,
        offer.price.currency,
        offer.price.amount_minor,
        None if offer.sale_price is None else offer.sale_price.amount_minor,
        offer.sale_starts_at,
        offer.sale_ends_at,
        None if offer.cost_of_goods_sold is None else offer.cost_of_goods_sold.amount_minor,
        None if offer.availability is None else str(offer.availability),
        str(effective_availability(offer)),
        str(offer.inventory_policy),
        decision.offer_version,
    )


def offer_of(row: Any) -> Offer:
    """From the columns of `OFFER_COLUMNS`."""

    def money(minor: int | None) -> Money | None:
        return None if minor is None else Money(minor, row.currency)

    return Offer(
        price=Money(row.price_minor, row.currency),
        sale_price=money(row.sale_price_minor),
        sale_starts_at=row.sale_starts_at,
        sale_ends_at=row.sale_ends_at,
        cost_of_goods_sold=money(row.cost_minor),
        availability=None if row.availability is None else Availability(row.availability),
        quantity=None if row.quantity is None else int(row.quantity),
        inventory_policy=InventoryPolicy(row.inventory_policy),
    )


def refs_of(row: Any) -> ExternalRefs:
    return ExternalRefs(
        source=row.source,
        product_id=row.product_id,
        variant_id=row.variant_id,
        inventory_item_id=row.inventory_item_id,
        handle=row.handle,
        options=_options_decoder.decode(row.options),
        sku=row.sku,
        gtin=row.gtin,
    )


async def default_market(tx: ReadSession, brand: BrandId) -> tuple[str, str] | None:
    """Code and currency."""
    row = await tx.one_or_none(_MARKET, {"brand": brand})
    return None if row is None else (row.market, row.currency)


_MARKET: Final = text("select market, currency from markets where brand_id = :brand and is_default")
_INSERT_MARKET: Final = text(
    "insert into markets (brand_id, market, currency, is_default, created_at)"
    " values (:brand, :market, :currency, true, :now) on conflict do nothing"
)
_INSERT_LOCATION: Final = text(
    "insert into locations (brand_id, location, is_default, created_at)"
    " values (:brand, :location, true, :now) on conflict do nothing"
)


async def insert_places(
    tx: WriteSession, *, brand: BrandId, market: str, currency: str, location: str, now: datetime
) -> None:
    await tx.execute(_INSERT_MARKET, {"brand": brand, "market": market, "currency": currency, "now": now})
    await tx.execute(_INSERT_LOCATION, {"brand": brand, "location": location, "now": now})
