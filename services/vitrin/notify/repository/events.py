"""SQL of webhook events, their deliveries and attempts, and of what was told of each object."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_TOLD: Final = text(
    "select t.brand_id, t.object_key, t.version, t.told from told_states t"
    " join unnest(cast(:brand_ids as uuid[]), cast(:object_keys as text[])) as asked(brand_id, object_key)"
    " on t.brand_id = asked.brand_id and t.object_key = asked.object_key"
    " order by t.brand_id, t.object_key for update of t"
)
_TELL: Final = (
    "insert into told_states (brand_id, object_key, version, told)"
    " select brand_id, object_key, version, told from {source}"
    " on conflict (brand_id, object_key) do update set version = excluded.version, told = excluded.told"
    " where told_states.version < excluded.version"
)
_NEW_SOURCES: Final = text(
    "insert into told_sources (brand_id, source_id, told_at) select brand_id, source_id, :now"
    " from unnest(cast(:brand_ids as uuid[]), cast(:source_ids as uuid[])) as new(brand_id, source_id)"
    " order by brand_id, source_id on conflict do nothing returning source_id"
)
_FORGET_SOURCES: Final = text("delete from told_sources where told_at < :before")
_INSERT_EVENTS: Final = (
    "insert into webhook_events (created_at, event_id, brand_id, type, object_type, object_id, test, payload)"
    " select created_at, event_id, brand_id, type, object_type, object_id, test, payload from {source}"
)
_INSERT_DELIVERIES: Final = (
    "insert into webhook_deliveries (created_at, delivery_id, brand_id, endpoint_id, event_id, event_created_at,"
    " object_key, seq, state, due_at) select created_at, delivery_id, brand_id, endpoint_id, event_id,"
    " event_created_at, object_key, nextval('webhook_deliveries_seq'), 'pending', created_at from"
    " (select * from {source} order by place) as new"
)
_DUE: Final = text(
    "update webhook_queues q set due_at = least(q.due_at, greatest(cast(:now as timestamptz), q.rest_until)) from"
    " (select endpoint_id from webhook_queues where endpoint_id = any(cast(:endpoint_ids as uuid[]))"
    " order by endpoint_id for update) as locked where q.endpoint_id = locked.endpoint_id"
)
_EVENT: Final = "created_at, event_id, brand_id, type, object_type, object_id, test, payload"
_GET: Final = text(f"select {_EVENT} from webhook_events where brand_id = :brand_id and event_id = :event_id")
_LIST: Final = (
    f"select {_EVENT} from webhook_events where brand_id = :brand_id"
    " and (cast(:type as text) is null or type = :type)"
    " and (cast(:object_id as text) is null or object_id = :object_id)"
    " and (cast(:since as timestamptz) is null or created_at >= :since)"
)
_NEWEST: Final = text(
    _LIST + " and (cast(:at as timestamptz) is null or (created_at, event_id) < (:at, cast(:id as uuid)))"
    " order by created_at desc, event_id desc limit :limit"
)
_OLDEST: Final = text(
    _LIST + " and (cast(:at as timestamptz) is null or (created_at, event_id) > (:at, cast(:id as uuid)))"
    " order by created_at, event_id limit :limit"
)
_DELIVERIES: Final = text(
    "select delivery_id, event_id, endpoint_id, state, tries, due_at, last_outcome, last_status, created_at,"
    " finished_at from webhook_deliveries where brand_id = :brand_id and event_id = any(cast(:event_ids as uuid[]))"
    " order by seq"
)
_DROP_PENDING: Final = text(
    "update webhook_deliveries set state = 'dropped', due_at = null, last_outcome = :outcome, finished_at = :now"
    " where brand_id = :brand_id and endpoint_id = :endpoint_id and state = 'pending'"
)
_ATTEMPT: Final = (
    "at, attempt_id, endpoint_id, delivery_id, event_id, event_type, number, outcome, detail, status, latency_ms,"
    " excerpt, next_try_at"
)
_ATTEMPTS: Final = text(
    f"select {_ATTEMPT} from webhook_attempts where brand_id = :brand_id and endpoint_id = :endpoint_id"
    " and (cast(:outcome as text) is null or outcome = :outcome)"
    " and (cast(:at as timestamptz) is null or (at, attempt_id) < (:at, cast(:id as uuid)))"
    " order by at desc, attempt_id desc limit :limit"
)


async def told(
    tx: WriteSession, objects: Sequence[tuple[UUID, str]]
) -> Mapping[tuple[UUID, str], tuple[int, str]]:
    """Version and news of these objects, locked in the order of their keys."""
    params = {"brand_ids": [one[0] for one in objects], "object_keys": [one[1] for one in objects]}
    return {(row.brand_id, row.object_key): (row.version, row.told) for row in await tx.all(_TOLD, params)}


async def tell(tx: WriteSession, rows: Sequence[tuple[UUID, str, int, str]]) -> None:
    """Brand, object, version, news; in the order of their keys."""
    if rows:
        columns = {"brand_id": "uuid", "object_key": "text", "version": "bigint", "told": "text"}
        source = await row_source(tx, "new_told", columns, rows)
        await tx.execute(text(_TELL.format(source=source.sql)), source.params)


async def new_sources(tx: WriteSession, sources: Sequence[tuple[UUID, UUID]], now: datetime) -> set[UUID]:
    """Those (brand, source event) that were not told before."""
    params = {"brand_ids": [one[0] for one in sources], "source_ids": [one[1] for one in sources], "now": now}
    return {row.source_id for row in await tx.all(_NEW_SOURCES, params)}


async def forget_sources(tx: WriteSession, before: datetime) -> int:
    return (await tx.execute(_FORGET_SOURCES, {"before": before})).rowcount


async def insert_events(tx: WriteSession, rows: Sequence[tuple[object, ...]]) -> None:
    """created_at, event_id, brand_id, type, object_type, object_id, test, payload."""
    columns = {
        "created_at": "timestamptz",
        "event_id": "uuid",
        "brand_id": "uuid",
        "type": "text",
        "object_type": "text",
        "object_id": "text",
        "test": "boolean",
        "payload": "text",
    }
    source = await row_source(tx, "new_events", columns, rows)
    await tx.execute(text(_INSERT_EVENTS.format(source=source.sql)), source.params)


async def insert_deliveries(tx: WriteSession, rows: Sequence[tuple[object, ...]]) -> None:
    """created_at, delivery_id, brand_id, endpoint_id, event_id, event_created_at, object_key; their order stays."""
    columns = {
        "created_at": "timestamptz",
        "delivery_id": "uuid",
        "brand_id": "uuid",
        "endpoint_id": "uuid",
        "event_id": "uuid",
        "event_created_at": "timestamptz",
        "object_key": "text",
        "place": "integer",
    }
    placed = [(*row, place) for place, row in enumerate(rows)]
    source = await row_source(tx, "new_deliveries", columns, placed)
    await tx.execute(text(_INSERT_DELIVERIES.format(source=source.sql)), source.params)


async def make_due(tx: WriteSession, endpoints: Sequence[UUID], now: datetime) -> None:
    """Last statement of whoever leaves deliveries behind; dispatchers take these rows only briefly, in key order."""
    if endpoints:
        await tx.execute(_DUE, {"endpoint_ids": list(endpoints), "now": now})


async def event(tx: ReadSession, brand: BrandId, event_id: UUID) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "event_id": event_id})


async def events(
    tx: ReadSession,
    brand: BrandId,
    *,
    type_: str | None,
    object_id: str | None,
    since: datetime | None,
    oldest_first: bool,
    position: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    params = {
        "brand_id": brand,
        "type": type_,
        "object_id": object_id,
        "since": since,
        "at": position[0] if position else None,
        "id": position[1] if position else None,
        "limit": limit,
    }
    return await tx.all(_OLDEST if oldest_first else _NEWEST, params)


async def deliveries_of(tx: ReadSession, brand: BrandId, events_: Sequence[UUID]) -> Sequence[Row[Any]]:
    return await tx.all(_DELIVERIES, {"brand_id": brand, "event_ids": list(events_)})


async def drop_pending(
    tx: WriteSession, brand: BrandId, endpoint: UUID, *, outcome: str, now: datetime
) -> int:
    params = {"brand_id": brand, "endpoint_id": endpoint, "outcome": outcome, "now": now}
    return (await tx.execute(_DROP_PENDING, params)).rowcount


async def attempts(
    tx: ReadSession,
    brand: BrandId,
    endpoint: UUID,
    *,
    outcome: str | None,
    position: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    params = {
        "brand_id": brand,
        "endpoint_id": endpoint,
        "outcome": outcome,
        "at": position[0] if position else None,
        "id": position[1] if position else None,
        "limit": limit,
    }
    return await tx.all(_ATTEMPTS, params)
