"""Requests of the removal guard and their items. The brand is in each query; the window of the channel is locked by
whoever changes a request (`guard.lock_window`)."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId
from vitrin.shop_sync.domain.guard import REJECTED_CODE, Kind, RequestState
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.repository.bulk import Insert, arrays, transpose
from vitrin.shop_sync.repository.guard import KEYS, Pair, pairs_of

_WAITING: Final = text(
    "select i.channel_id, i.item_id, i.request_id, i.kind, r.state from removal_items i"
    " join removal_requests r on r.brand_id = i.brand_id and r.request_id = i.request_id"
    " where i.brand_id = any(cast(:brand_ids as uuid[]))"
    f" and (i.channel_id, i.item_id) in (select * from {arrays(KEYS)}) and i.state = 'waiting'"
    " and r.subject = 'items'"
)
_REQUEST: Final = (
    "r.brand_id, r.request_id, r.channel_id, c.platform, c.mode, c.state as channel_state, r.state, r.opened_at,"
    " r.updated_at, r.limit_items, r.shown_items, r.passed_items, r.waiting_removals, r.waiting_zeroings, r.items_gone,"
    " r.items_kept, r.items_back, r.causes, r.decided_at, r.decided_by, r.note, r.finished_at, r.alerted_at,"
    " r.alerted_items, r.subject"
)
_FROM: Final = (
    "from removal_requests r join channels c on c.brand_id = r.brand_id and c.channel_id = r.channel_id"
)
_OPEN: Final = text(
    f"select {_REQUEST} {_FROM} where r.brand_id = :brand_id and r.channel_id = :channel_id and r.state = 'open'"
    " and r.subject = :subject"
)
_INSERT: Final = text(
    "insert into removal_requests (brand_id, request_id, channel_id, state, opened_at, updated_at, limit_items,"
    " shown_items, passed_items, subject) values (:brand_id, :request_id, :channel_id, 'open', :now, :now, :limit,"
    " :shown, :passed, :subject)"
)
_GET: Final = text(f"select {_REQUEST} {_FROM} where r.brand_id = :brand_id and r.request_id = :request_id")
_LIST: Final = text(
    f"select {_REQUEST} {_FROM} where r.brand_id = :brand_id and (not :sandbox_only or c.mode = 'sandbox')"
    " and (cast(:state as text) is null or r.state = :state) and (cast(:before_at as timestamptz) is null"
    " or (r.opened_at, r.request_id) < (:before_at, cast(:before_id as uuid)))"
    " order by r.opened_at desc, r.request_id desc limit :limit"
)
_ITEMS: Final = text(
    "select item_id, title, kind, state, reason, actor, held_at, settled_at from removal_items"
    " where brand_id = :brand_id and request_id = :request_id and item_id > :after order by item_id limit :limit"
)
_ITEM: Final = {
    "brand_id": "uuid",
    "request_id": "uuid",
    "item_id": "text",
    "channel_id": "uuid",
    "kind": "text",
    "state": "text",
    "title": "text",
    "reason": "jsonb",
    "actor": "text",
    "held_at": "timestamptz",
}
_ADD_ITEMS: Final = Insert(
    "removal_items",
    _ITEM,
    "on conflict (brand_id, request_id, item_id) do update set kind = excluded.kind, state = excluded.state,"
    " title = excluded.title, reason = excluded.reason, actor = excluded.actor, held_at = excluded.held_at,"
    " settled_at = null",
)
_SETTLED: Final = {"request_ids": "uuid", "item_ids": "text", "kinds": "text", "states": "text"}
_SETTLE: Final = text(
    "update removal_items i set kind = k.kind, state = k.state,"
    " settled_at = case when k.state = 'waiting' then null else cast(:now as timestamptz) end"
    f" from (select * from {arrays(_SETTLED)}) as k (request_id, item_id, kind, state)"
    " where i.brand_id = :brand_id and i.request_id = k.request_id and i.item_id = k.item_id"
)
_RECOUNT: Final = text(
    "update removal_requests r set updated_at = :now,"
    " waiting_removals = waiting_removals + :waiting_removals,"
    " waiting_zeroings = waiting_zeroings + :waiting_zeroings, items_gone = items_gone + :gone,"
    " items_kept = items_kept + :kept, items_back = items_back + :back, causes = cast(:causes as jsonb)"
    " where r.brand_id = :brand_id and r.request_id = :request_id"
)
_END: Final = text(
    "update removal_requests set state = :state, decided_at = :now, decided_by = :by, note = :note, updated_at = :now,"
    " finished_at = :finished_at where brand_id = :brand_id and request_id = :request_id"
)
_FINISH: Final = text(
    "update removal_requests set finished_at = :now, updated_at = :now"
    " where brand_id = :brand_id and request_id = :request_id and state = :state returning request_id"
)
_ALERTED: Final = text(
    "update removal_requests set alerted_at = :now, alerted_items = :items"
    " where brand_id = :brand_id and request_id = :request_id"
)
_NEXT_WAITING: Final = text(
    "select item_id, kind from removal_items where brand_id = :brand_id and request_id = :request_id"
    " and state = 'waiting' order by item_id limit :limit"
)
_FORGET_ITEMS: Final = text(
    "delete from removal_items where brand_id = :brand_id and request_id = :request_id"
)
_FORGET: Final = text("delete from removal_requests where brand_id = :brand_id and request_id = :request_id")
_WORK: Final = text(
    "insert into removal_work (request_id, brand_id, waits, opened_at, due_at)"
    " values (:request_id, :brand_id, true, :now, :due_at)"
)
_SOONER: Final = text(
    "update removal_work set due_at = least(due_at, :due_at), waits = :waits"
    " where brand_id = :brand_id and request_id = :request_id"
)
_LATER: Final = text(
    "update removal_work set due_at = :due_at, waits = coalesce(cast(:waits as boolean), waits)"
    " where brand_id = :brand_id and request_id = :request_id"
)
_HAS_CAUSE: Final = text(
    "select exists (select 1 from removal_items where brand_id = :brand_id and request_id = :request_id"
    " and actor = :actor and state <> 'back')"
)
_CLAIM: Final = text("select pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
_WORK_DUE: Final = text(
    "select due_at from removal_work where request_id = :request_id and brand_id = :brand_id"
)
_REVIVE: Final = text(
    "with revived as (update removal_items i set state = 'waiting', settled_at = null"
    " where i.brand_id = :brand_id and i.request_id = :request_id and i.state = 'kept'"
    " and not exists (select 1 from removal_items w where w.brand_id = i.brand_id"
    " and w.channel_id = i.channel_id and w.item_id = i.item_id and w.state = 'waiting')"
    " and exists (select 1 from channel_items c where c.brand_id = i.brand_id and c.channel_id = i.channel_id"
    " and c.item_id = i.item_id and c.causes->'held'->0->>'code' = :rejected) returning i.kind)"
    " update removal_requests r set items_kept = items_kept - k.removals - k.zeroings,"
    " waiting_removals = waiting_removals + k.removals, waiting_zeroings = waiting_zeroings + k.zeroings"
    " from (select count(*) filter (where kind = 'removal') as removals,"
    " count(*) filter (where kind = 'zeroing') as zeroings from revived) as k"
    " where r.brand_id = :brand_id and r.request_id = :request_id"
)
_DUE: Final = text(
    "select request_id, brand_id from removal_work where due_at <= :now order by due_at limit :limit"
)
_OVERVIEW: Final = text("select count(*) as waiting, min(opened_at) as oldest from removal_work where waits")
_CHANNEL_CLOSED: Final = text(
    "update removal_work w set due_at = :now from removal_requests r where w.brand_id = :brand_id"
    " and r.brand_id = w.brand_id and r.request_id = w.request_id and r.channel_id = :channel_id"
    " and r.finished_at is null"
)
_DROP_WORK: Final = text("delete from removal_work where brand_id = :brand_id and request_id = :request_id")


Subject = Literal["items", "strangers"]
"""items: of ours, held by the guard. strangers: of the platform's catalog, whose removal somebody asked for."""


class Waiting(NamedTuple):
    """An item that waits in a request."""

    request_id: UUID
    kind: Kind
    state: RequestState


class NewItem(NamedTuple):
    item_id: str
    kind: Kind
    title: str
    reason: str
    actor: str


async def waiting(tx: ReadSession, brands: Sequence[BrandId], pairs: Sequence[Pair]) -> dict[Pair, Waiting]:
    """What these items wait in: a request that is open, or decided and not carried out yet."""
    if not pairs:
        return {}
    rows = await tx.all(_WAITING, pairs_of(brands, pairs))
    return {(r.channel_id, r.item_id): Waiting(r.request_id, Kind(r.kind), r.state) for r in rows}


async def open_request(tx: ReadSession, channel: Channel, *, subject: Subject = "items") -> Row[Any] | None:
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "subject": subject}
    return await tx.one_or_none(_OPEN, params)


async def create_request(
    tx: WriteSession,
    channel: Channel,
    request_id: UUID,
    *,
    limit: int,
    shown: int | None,
    passed: int,
    now: datetime,
    due_at: datetime,
    subject: Subject = "items",
) -> None:
    params: dict[str, Any] = {"request_id": request_id, "limit": limit, "shown": shown, "passed": passed}
    params |= {"now": now} | {"subject": subject}
    await tx.execute(_INSERT, {"brand_id": channel.brand_id, "channel_id": channel.channel_id} | params)
    work = {"request_id": request_id, "brand_id": channel.brand_id, "now": now, "due_at": due_at}
    await tx.execute(_WORK, work)


async def add_items(
    tx: WriteSession, channel: Channel, request_id: UUID, found: Sequence[NewItem], *, now: datetime
) -> None:
    rows = [
        (
            channel.brand_id,
            request_id,
            item.item_id,
            channel.channel_id,
            item.kind.value,
            "waiting",
            item.title,
            item.reason,
            item.actor,
            now,
        )
        for item in found
    ]
    await _ADD_ITEMS.rows(tx, rows)


async def settle(
    tx: WriteSession, brand: BrandId, rows: Sequence[tuple[UUID, str, str, str]], *, now: datetime
) -> None:
    """(request, item, kind, state) of items that wait no longer, or wait for something else."""
    if rows:
        await tx.execute(_SETTLE, transpose(_SETTLED, rows) | {"brand_id": brand, "now": now})


async def recount(
    tx: WriteSession,
    brand: BrandId,
    request_id: UUID,
    *,
    waiting_removals: int = 0,
    waiting_zeroings: int = 0,
    gone: int = 0,
    kept: int = 0,
    back: int = 0,
    causes: Mapping[str, int],
    now: datetime,
) -> None:
    """Numbers are added to what the request has; `causes` replaces."""
    params = {
        "brand_id": brand,
        "request_id": request_id,
        "waiting_removals": waiting_removals,
        "waiting_zeroings": waiting_zeroings,
        "gone": gone,
        "kept": kept,
        "back": back,
        "causes": json.dumps(causes),
        "now": now,
    }
    await tx.execute(_RECOUNT, params)


async def get(tx: ReadSession, brand: BrandId, request_id: UUID) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "request_id": request_id})


async def list_of(
    tx: ReadSession,
    brand: BrandId,
    *,
    sandbox_only: bool,
    state: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    params = {
        "brand_id": brand,
        "sandbox_only": sandbox_only,
        "state": state,
        "before_at": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit,
    }
    return await tx.all(_LIST, params)


async def items_of(
    tx: ReadSession, brand: BrandId, request_id: UUID, *, after: str, limit: int
) -> Sequence[Row[Any]]:
    params = {"brand_id": brand, "request_id": request_id, "after": after, "limit": limit}
    return await tx.all(_ITEMS, params)


async def has_cause(tx: ReadSession, brand: BrandId, request_id: UUID, actor: str) -> bool:
    """Whether one of the request's items is there because of this actor."""
    params = {"brand_id": brand, "request_id": request_id, "actor": actor}
    return bool(await tx.scalar(_HAS_CAUSE, params))


async def end(
    tx: WriteSession,
    brand: BrandId,
    request_id: UUID,
    *,
    state: RequestState,
    by: str,
    note: str,
    now: datetime,
    finished: bool,
) -> None:
    params = {"state": state, "by": by, "note": note, "now": now, "finished_at": now if finished else None}
    await tx.execute(_END, params | {"brand_id": brand, "request_id": request_id})


async def finish(
    tx: WriteSession, brand: BrandId, request_id: UUID, now: datetime, *, state: RequestState
) -> bool:
    """The decision was carried out; False when it was another one meanwhile."""
    params = {"brand_id": brand, "request_id": request_id, "now": now, "state": state}
    return await tx.one_or_none(_FINISH, params) is not None


async def alerted(tx: WriteSession, brand: BrandId, request_id: UUID, *, items: int, now: datetime) -> None:
    await tx.execute(_ALERTED, {"brand_id": brand, "request_id": request_id, "items": items, "now": now})


async def next_waiting(
    tx: ReadSession, brand: BrandId, request_id: UUID, *, limit: int
) -> Sequence[tuple[str, Kind]]:
    params = {"brand_id": brand, "request_id": request_id, "limit": limit}
    return [(row.item_id, Kind(row.kind)) for row in await tx.all(_NEXT_WAITING, params)]


async def forget(tx: WriteSession, brand: BrandId, request_id: UUID) -> None:
    params = {"brand_id": brand, "request_id": request_id}
    for statement in (_FORGET_ITEMS, _FORGET, _DROP_WORK):
        await tx.execute(statement, params)


async def make_due(
    tx: WriteSession, brand: BrandId, request_id: UUID, due_at: datetime, *, waits: bool
) -> None:
    """Not later than `due_at`. `waits`: still for somebody's decision."""
    params = {"brand_id": brand, "request_id": request_id, "due_at": due_at, "waits": waits}
    await tx.execute(_SOONER, params)


async def channel_closed(tx: WriteSession, channel: Channel, now: datetime) -> None:
    """Its requests need nobody's decision any more: the loop ends them."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "now": now}
    await tx.execute(_CHANNEL_CLOSED, params)


async def postpone(
    tx: WriteSession, brand: BrandId, request_id: UUID, due_at: datetime, *, waits: bool | None
) -> None:
    """Not before `due_at`. `waits` None: as it was."""
    params = {"brand_id": brand, "request_id": request_id, "due_at": due_at, "waits": waits}
    await tx.execute(_LATER, params)


async def claim(tx: WriteSession, brand: BrandId, request_id: UUID) -> datetime | None:
    """When the request is due; None when somebody else works on it or it is gone. Never waits: the row of the work is
    written last, after the window, by everybody."""
    if not await tx.scalar(_CLAIM, {"key": f"removal:{request_id}"}):
        return None
    found: datetime | None = await tx.scalar(_WORK_DUE, {"brand_id": brand, "request_id": request_id})
    return found


async def revive(tx: WriteSession, brand: BrandId, request_id: UUID) -> None:
    """A rejection is taken back: what is still shown because of it waits again."""
    params = {"brand_id": brand, "request_id": request_id, "rejected": REJECTED_CODE}
    await tx.execute(_REVIVE, params)


async def due(tx: ReadSession, *, now: datetime, limit: int) -> Sequence[tuple[BrandId, UUID]]:
    """Of all brands: the only table that a worker may read without naming them."""
    return [(row.brand_id, row.request_id) for row in await tx.all(_DUE, {"now": now, "limit": limit})]


async def overview(tx: ReadSession) -> tuple[int, datetime | None]:
    """Requests of all brands that wait for a decision, and since when the oldest does."""
    row = await tx.one_or_none(_OVERVIEW)
    assert row is not None
    return row.waiting, row.oldest
