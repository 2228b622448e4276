"""SQL of events: what is new, its rows, and pages of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

COLUMNS: Final = {
    "stored_at": "timestamptz",
    "brand_id": "uuid",
    "event_id": "text",
    "name": "text",
    "custom_name": "text",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "visitor_id": "text",
    "customer_id": "text",
    "session_id": "text",
    "source": "text",
    "test": "boolean",
    "url": "text",
    "referrer": "text",
    "items": "jsonb",
    "value_minor": "bigint",
    "currency": "text",
    "order_id": "text",
    "refund_id": "text",
    "lead_id": "text",
    "search_term": "text",
    "click_ids": "jsonb",
    "utm": "jsonb",
    "consents": "jsonb",
    "consent_proof": "text",
    "gpc": "boolean",
    "properties": "jsonb",
    "personal": "bytea",
    "whose": "text",
}
_KINDS: Final = {name: "text" if kind == "jsonb" else kind for name, kind in COLUMNS.items()} | {
    "place": "integer"
}
_VALUES: Final = ", ".join(
    f"new.{name}::jsonb" if kind == "jsonb" else f"new.{name}" for name, kind in COLUMNS.items()
)
_INSERT: Final = (
    f"insert into events (arrival, {', '.join(COLUMNS)})"
    f" select nextval('events_arrival_seq'), {_VALUES} from (select * from {{source}} order by place) as new"
)
_NEW_IDS: Final = (
    "insert into event_ids (brand_id, event_id, stored_at) select brand_id, event_id, :now from {source}"
    " order by brand_id, event_id on conflict do nothing returning brand_id, event_id"
)
_NEW_KEYS: Final = (
    "insert into event_business_keys (brand_id, name, business_key, event_id, occurred_at, stored_at)"
    " select brand_id, name, business_key, event_id, occurred_at, :now from {source}"
    " order by brand_id, name, business_key on conflict do nothing returning brand_id, name, business_key"
)
_GONE: Final = text("select brand_id from access_brands where deleted and brand_id = any(:brands)")
_PAGE: Final = (
    f"select arrival, {', '.join(name for name in COLUMNS if name not in ('brand_id', 'personal', 'whose'))},"
    " personal is not null as has_personal from events where brand_id = :brand_id"
    " and (cast(:name as text) is null or name = :name)"
    " and (cast(:event_id as text) is null or event_id = :event_id)"
    " and (cast(:visitor_id as text) is null or visitor_id = :visitor_id)"
)
_NEWEST: Final = text(
    _PAGE + " and (cast(:arrival as bigint) is null or arrival < :arrival) order by arrival desc limit :limit"
)
_OLDEST: Final = text(
    _PAGE + " and (cast(:arrival as bigint) is null or arrival > :arrival) order by arrival limit :limit"
)
_FORGET_IDS: Final = text(
    "delete from event_ids where ctid = any (array(select ctid from event_ids where stored_at < :before limit :limit))"
)


async def gone(tx: ReadSession, brands: Sequence[BrandId]) -> set[UUID]:
    """Those of the brands that have left: nothing of them is kept any more."""
    return {row.brand_id for row in await tx.all(_GONE, {"brands": list(brands)})}


async def new_ids(tx: WriteSession, ids: Sequence[tuple[UUID, str]], now: datetime) -> set[tuple[UUID, str]]:
    """Those that nobody has stored; from now on they are."""
    if not ids:
        return set()
    source = await row_source(tx, "new_ids", {"brand_id": "uuid", "event_id": "text"}, ids)
    rows = await tx.all(text(_NEW_IDS.format(source=source.sql)), {**source.params, "now": now})
    return {(row.brand_id, row.event_id) for row in rows}


async def new_keys(
    tx: WriteSession, keys: Sequence[tuple[UUID, str, str, str, datetime]], now: datetime
) -> set[tuple[UUID, str, str]]:
    """Brand, name, business key, event id, time; answers those that were not there."""
    if not keys:
        return set()
    columns = {
        "brand_id": "uuid",
        "name": "text",
        "business_key": "text",
        "event_id": "text",
        "occurred_at": "timestamptz",
    }
    source = await row_source(tx, "new_keys", columns, keys)
    rows = await tx.all(text(_NEW_KEYS.format(source=source.sql)), {**source.params, "now": now})
    return {(row.brand_id, row.name, row.business_key) for row in rows}


async def insert(tx: WriteSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """In their order, which is that of their arrival numbers. JSON is given as text."""
    if not rows:
        return
    values = [[*(row[name] for name in COLUMNS), place] for place, row in enumerate(rows)]
    source = await row_source(tx, "new_events", _KINDS, values)
    await tx.execute(text(_INSERT.format(source=source.sql)), source.params)


async def page(
    session: ReadSession, brand: BrandId, *, oldest_first: bool, **asked: Any
) -> Sequence[Row[Any]]:
    """`asked`: name, event_id, visitor_id, arrival (where the page before ended), limit."""
    return await session.all(_OLDEST if oldest_first else _NEWEST, {"brand_id": brand, **asked})


async def forget_ids(tx: WriteSession, before: datetime, limit: int) -> int:
    return (await tx.execute(_FORGET_IDS, {"before": before, "limit": limit})).rowcount
