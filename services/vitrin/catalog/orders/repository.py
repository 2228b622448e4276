"""SQL of orders, of refunds that came too early, and of who looked at personal data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid

_KEY: Final = "brand_id = :brand_id and connection_id = :connection_id"
_ENSURE: Final = text(
    "insert into orders (brand_id, connection_id, order_id, created_at, updated_at, changed_at)"
    " values (:brand_id, :connection_id, :order_id, :now, :now, :now) on conflict do nothing"
)
_LOCK: Final = text(
    f"select version, document, timeline, person from orders where {_KEY} and order_id = :order_id for update"
)
_SAVE: Final = text(
    "update orders set version = :version, state = :state, test = :test, created_at = :created_at,"
    " updated_at = :updated_at, changed_at = :changed_at, document = cast(:document as jsonb),"
    f" timeline = cast(:timeline as jsonb), person = :person where {_KEY} and order_id = :order_id"
)
_PARK: Final = text(
    "insert into order_refunds_parked (brand_id, connection_id, refund_id, order_id, document, received_at)"
    " values (:brand_id, :connection_id, :refund_id, :order_id, cast(:document as jsonb), :now)"
    " on conflict do nothing"
)
_UNPARK: Final = text(
    f"delete from order_refunds_parked where {_KEY} and order_id = :order_id returning document"
)
_ITEMS: Final = text(
    f"select variant_id, item_id from shop_variants where {_KEY}"
    " and variant_id = any(cast(:variants as text[]))"
)
_SANDBOX: Final = (
    "(not :sandbox_only or connection_id in (select connection_id from shops"
    " where brand_id = :brand_id and mode = 'sandbox'))"
)
_PAGE: Final = text(
    "select connection_id, order_id, document, created_at from orders where brand_id = :brand_id and version > 0"
    f" and {_SANDBOX} and (cast(:state as text) is null or state = :state)"
    " and (cast(:connection_id as uuid) is null or connection_id = :connection_id)"
    " and (cast(:since as timestamptz) is null or created_at >= :since)"
    " and (cast(:until as timestamptz) is null or created_at < :until)"
    " and (cast(:at as timestamptz) is null or (created_at, connection_id, order_id) <"
    " (:at, cast(:after_connection as uuid), cast(:after_order as text)))"
    " order by created_at desc, connection_id desc, order_id desc limit :limit"
)
_GET: Final = text(
    "select connection_id, order_id, document, timeline, person from orders"
    f" where {_KEY} and order_id = :order_id and version > 0 and {_SANDBOX}"
)
_SOME: Final = text(
    "select connection_id, order_id, document, person from orders"
    f" where {_KEY} and order_id = any(cast(:order_ids as text[])) and version > 0 order by order_id"
)
_NEXT_OF_SHOP: Final = text(
    f"select order_id, person from orders where {_KEY} order by order_id limit :limit"
)
_DELETE: Final = text(f"delete from orders where {_KEY} and order_id = any(cast(:order_ids as text[]))")
_DELETE_PARKED: Final = text(f"delete from order_refunds_parked where {_KEY}")
_OLD: Final = text(
    "delete from orders where (brand_id, connection_id, order_id) in (select brand_id, connection_id, order_id"
    " from orders where brand_id = :brand_id and changed_at < :before limit :limit)"
)
_OLD_REFUNDS: Final = text(
    "delete from order_refunds_parked where brand_id = :brand_id and received_at < :before"
)
_PARKED: Final = text(
    "select count(*) from order_refunds_parked where brand_id = any(cast(:brands as uuid[]))"
)
_VIEW: Final = text(
    "insert into order_views (brand_id, view_id, at, actor, connection_id, order_id, request_id)"
    " values (:brand_id, :view_id, :at, :actor, :connection_id, :order_id, :request_id)"
)
_VIEWS: Final = text(
    f"select at, actor from order_views where {_KEY} and order_id = :order_id order by at desc limit :limit"
)
_OLD_VIEWS: Final = text("delete from order_views where brand_id = :brand_id and at < :before")
_BRANDS: Final = text("select distinct brand_id from shop_queues order by brand_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters of a list. `after`: position of the entry before."""

    state: str | None = None
    shop: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, UUID, str] | None = None
    sandbox_only: bool = False


def key(brand: BrandId, connection: ConnectionId) -> dict[str, Any]:
    return {"brand_id": brand, "connection_id": connection}


async def lock(
    tx: WriteSession, brand: BrandId, connection: ConnectionId, order_id: str, *, now: datetime
) -> Row[Any]:
    """The order's row under its lock; version 0: it was not known."""
    params = key(brand, connection) | {"order_id": order_id, "now": now}
    await tx.execute(_ENSURE, params)
    row = await tx.one_or_none(_LOCK, params)
    assert row is not None
    return row


async def save(tx: WriteSession, brand: BrandId, connection: ConnectionId, values: Mapping[str, Any]) -> None:
    written = {name: json.dumps(values[name]) for name in ("document", "timeline")}
    await tx.execute(_SAVE, key(brand, connection) | dict(values) | written)


async def drop(tx: WriteSession, brand: BrandId, connection: ConnectionId, order_ids: Sequence[str]) -> None:
    await tx.execute(_DELETE, key(brand, connection) | {"order_ids": list(order_ids)})


async def drop_parked(tx: WriteSession, brand: BrandId, connection: ConnectionId) -> None:
    await tx.execute(_DELETE_PARKED, key(brand, connection))


async def park_refund(
    tx: WriteSession,
    brand: BrandId,
    connection: ConnectionId,
    *,
    refund_id: str,
    order_id: str,
    document: Mapping[str, Any],
    now: datetime,
) -> None:
    params = {"refund_id": refund_id, "order_id": order_id, "document": json.dumps(document), "now": now}
    await tx.execute(_PARK, key(brand, connection) | params)


async def parked_refunds(
    tx: WriteSession, brand: BrandId, connection: ConnectionId, order_id: str
) -> list[dict[str, Any]]:
    """They are not parked any more."""
    rows = await tx.all(_UNPARK, key(brand, connection) | {"order_id": order_id})
    return [row.document for row in rows]


async def items_of(
    tx: ReadSession, brand: BrandId, connection: ConnectionId, variants: Sequence[str]
) -> dict[str, str]:
    """Item id by the shop's variant id (the product's where a shop has no variants of it)."""
    if not variants:
        return {}
    rows = await tx.all(_ITEMS, key(brand, connection) | {"variants": list(variants)})
    return {row.variant_id: row.item_id for row in rows}


async def page(tx: ReadSession, brand: BrandId, wanted: Wanted, *, limit: int) -> Sequence[Row[Any]]:
    """The newest first."""
    at, after_connection, after_order = wanted.after or (None, None, None)
    params = {
        "brand_id": brand,
        "sandbox_only": wanted.sandbox_only,
        "state": wanted.state,
        "connection_id": wanted.shop,
        "since": wanted.since,
        "until": wanted.until,
        "at": at,
        "after_connection": after_connection,
        "after_order": after_order,
        "limit": limit,
    }
    return await tx.all(_PAGE, params)


async def get(
    tx: ReadSession, brand: BrandId, connection: ConnectionId, order_id: str, *, sandbox_only: bool
) -> Row[Any] | None:
    params = {"order_id": order_id, "sandbox_only": sandbox_only}
    return await tx.one_or_none(_GET, key(brand, connection) | params)


async def some(
    tx: ReadSession, brand: BrandId, connection: ConnectionId, order_ids: Sequence[str]
) -> Sequence[Row[Any]]:
    return await tx.all(_SOME, key(brand, connection) | {"order_ids": list(order_ids)})


async def next_of_shop(
    tx: ReadSession, brand: BrandId, connection: ConnectionId, limit: int
) -> Sequence[Row[Any]]:
    return await tx.all(_NEXT_OF_SHOP, key(brand, connection) | {"limit": limit})


async def forget_old(
    tx: WriteSession,
    brand: BrandId,
    *,
    orders_before: datetime,
    refunds_before: datetime,
    views_before: datetime,
    limit: int,
) -> tuple[int, int]:
    """Orders deleted, and refunds given up that no order came for."""
    params: dict[str, Any] = {"brand_id": brand}
    await tx.execute(_OLD_VIEWS, params | {"before": views_before})
    refunds = await tx.execute(_OLD_REFUNDS, params | {"before": refunds_before})
    orders = await tx.execute(_OLD, params | {"before": orders_before, "limit": limit})
    return int(orders.rowcount), int(refunds.rowcount)


async def parked_count(tx: ReadSession, brands: Sequence[BrandId]) -> int:
    found: int = await tx.scalar(_PARKED, {"brands": list(brands)})
    return found


async def viewed(
    tx: WriteSession,
    brand: BrandId,
    connection: ConnectionId,
    order_ids: Sequence[str],
    *,
    actor: str,
    at: datetime,
    request: UUID | None = None,
) -> None:
    """Somebody is about to see who bought."""
    for order_id in order_ids:
        params = {
            "view_id": new_uuid(),
            "order_id": order_id,
            "actor": actor,
            "at": at,
            "request_id": request,
        }
        await tx.execute(_VIEW, key(brand, connection) | params)


async def views(
    tx: ReadSession, brand: BrandId, connection: ConnectionId, order_id: str, *, limit: int
) -> Sequence[Row[Any]]:
    """The latest first."""
    return await tx.all(_VIEWS, key(brand, connection) | {"order_id": order_id, "limit": limit})


async def brands(tx: ReadSession) -> list[BrandId]:
    """Those that have, or had, a shop: the queue of shops is what a worker may see of all brands."""
    return [BrandId(row.brand_id) for row in await tx.all(_BRANDS, {})]
