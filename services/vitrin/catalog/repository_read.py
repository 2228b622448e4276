"""SQL of reading items: one, a page with filters, and pages of everything for snapshots."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, String, and_, cast, func, literal, select
from sqlalchemy.sql.elements import ColumnElement

from vitrin.catalog.domain import Availability, ExternalRefs, ItemContent, Offer, Status
from vitrin.catalog.models import items, markets, offers, stock_levels
from vitrin.catalog.repository_write import decode_content, fold_title, offer_of, refs_of
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId

SKU_INDEXED_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as it stands, with its offer in the brand's default market (None: it has none)."""

    brand: BrandId
    item_id: str
    content: ItemContent | None
    offer: Offer | None
    refs: ExternalRefs
    market: str
    content_version: int
    offer_version: int
    offer_row_version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """None: not filtered by it. `title_prefix` is compared case-folded."""

    status: Status | None = None
    item_group_id: str | None = None
    sku: str | None = None
    gtin: str | None = None
    availability: Availability | None = None
    updated_since: datetime | None = None
    title_prefix: str | None = None


_QUANTITY: Final = (
    select(func.sum(stock_levels.c.quantity))
    .where(stock_levels.c.brand_id == items.c.brand_id, stock_levels.c.item_id == items.c.item_id)
    .scalar_subquery()
    .label("quantity")
)
_COLUMNS: Final = (
    items.c.brand_id,
    items.c.item_id,
    cast(items.c.content, String).label("content"),
    items.c.content_version,
    items.c.offer_version,
    items.c.source,
    items.c.product_id,
    items.c.variant_id,
    items.c.inventory_item_id,
    items.c.handle,
    cast(items.c.options, String).label("options"),
    items.c.sku,
    items.c.gtin,
    items.c.created_at,
    items.c.updated_at,
    offers.c.market,
    offers.c.currency,
    offers.c.price_minor,
    offers.c.sale_price_minor,
    offers.c.sale_starts_at,
    offers.c.sale_ends_at,
    offers.c.cost_minor,
    offers.c.availability,
    offers.c.inventory_policy,
    offers.c.offer_version.label("offer_row_version"),
    _QUANTITY,
)
_SAME_ITEM: Final = and_(offers.c.brand_id == items.c.brand_id, offers.c.item_id == items.c.item_id)


def _base() -> Select[Any]:
    return select(*_COLUMNS).select_from(items.outerjoin(offers, _SAME_ITEM))


async def get_item(tx: ReadSession, *, brand: BrandId, item_id: str) -> ItemRow | None:
    row = await tx.one_or_none(
        _base().where(items.c.brand_id == brand, items.c.item_id == item_id, items.c.content.is_not(None))
    )
    return None if row is None else _item(row)


async def list_items(
    tx: ReadSession, *, brand: BrandId, wanted: ItemFilter, after: str | None, limit: int
) -> list[ItemRow]:
    """Live items in the order of their ids, after the one named."""
    statement = (
        _base()
        .where(items.c.brand_id == brand, items.c.content.is_not(None), *_conditions(wanted))
        .order_by(items.c.item_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(items.c.item_id > after)
    return [_item(row) for row in await tx.all(statement)]


def _conditions(wanted: ItemFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        conditions.append(items.c.status == str(wanted.status))
    if wanted.item_group_id is not None:
        conditions += [items.c.item_group_id == wanted.item_group_id, items.c.item_group_id != ""]
    if wanted.sku is not None:
        start = literal(wanted.sku[:SKU_INDEXED_CHARS])
        conditions += [func.left(items.c.sku, SKU_INDEXED_CHARS) == start, items.c.sku == wanted.sku]
        conditions.append(items.c.sku != "")
    if wanted.gtin is not None:
        conditions += [items.c.gtin == wanted.gtin, items.c.gtin != ""]
    if wanted.availability is not None:
        conditions.append(offers.c.effective_availability == str(wanted.availability))
    if wanted.updated_since is not None:
        conditions.append(items.c.updated_at >= wanted.updated_since)
    if wanted.title_prefix is not None:
        conditions.append(items.c.title_folded.startswith(fold_title(wanted.title_prefix), autoescape=True))
    return conditions


async def snapshot_page(tx: ReadSession, *, brand: BrandId, after: str | None, limit: int) -> list[ItemRow]:
    """Items of a brand in the order of their ids, tombstones included."""
    statement = (
        _base()
        .where(items.c.brand_id == brand, items.c.content_version > 0)
        .order_by(items.c.item_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(items.c.item_id > after)
    return [_item(row) for row in await tx.all(statement)]


async def share_page(tx: ReadSession, *, brand: BrandId, after: str, limit: int) -> list[str]:
    """Ids of the brand's next items, tombstones included, locked in their order against whoever changes them."""
    statement = (
        select(items.c.item_id)
        .where(items.c.brand_id == brand, items.c.content_version > 0, items.c.item_id > after)
        .order_by(items.c.item_id)
        .limit(limit)
        .with_for_update(read=True)
    )
    return [row.item_id for row in await tx.all(statement)]


async def state_of(tx: ReadSession, *, brand: BrandId, ids: list[str]) -> list[ItemRow]:
    """These items, by a statement of its own after their lock: joined to it, offers would be older than the lock."""
    statement = _base().where(items.c.brand_id == brand, items.c.item_id.in_(ids)).order_by(items.c.item_id)
    return [_item(row) for row in await tx.all(statement)] if ids else []


async def next_brand(tx: ReadSession, *, after: BrandId | None) -> BrandId | None:
    """Brands that have a market here, in the order of their ids; for the worker role, which may list them."""
    statement = select(markets.c.brand_id).where(markets.c.is_default).order_by(markets.c.brand_id).limit(1)
    if after is not None:
        statement = statement.where(markets.c.brand_id > after)
    found = await tx.scalar(statement)
    return None if found is None else BrandId(found)


def _item(row: Row[Any]) -> ItemRow:
    return ItemRow(
        brand=BrandId(row.brand_id),
        item_id=row.item_id,
        content=None if row.content is None else decode_content(row.content),
        offer=None if row.market is None else offer_of(row),
        refs=refs_of(row),
        market=row.market or "",
        content_version=row.content_version,
        offer_version=row.offer_version,
        offer_row_version=row.offer_row_version or 0,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
