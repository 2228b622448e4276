"""SQL of what shops asked in the name of their customers."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.catalog.orders.repository import key
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid

DUE: Final = timedelta(days=30)
"""How long a shop's customer may wait for an answer (Shopify's rule, and the GDPR's month)."""
_KEY: Final = "brand_id = :brand_id and connection_id = :connection_id"
_COLUMNS: Final = (
    "request_id, connection_id, kind, state, person, order_ids, received_at, due_at, done_at, answered_at,"
    " answered_by, receipt"
)
_ASK: Final = (
    "insert into privacy_requests (brand_id, request_id, connection_id, kind, told, state, person, order_ids,"
    " received_at, due_at, done_at, receipt) values (:brand_id, :request_id, :connection_id, :kind, :told, :state,"
    " :person, cast(:order_ids as text[]), :now, :due_at, :done_at, cast(:receipt as jsonb))"
    " on conflict (brand_id, connection_id, kind, told)"
)
_ASK_ONCE: Final = text(f"{_ASK} do nothing returning request_id")
_ASK_AGAIN: Final = text(
    f"{_ASK} do update set state = excluded.state, received_at = excluded.received_at, due_at = excluded.due_at,"
    " done_at = excluded.done_at, receipt = excluded.receipt, answered_at = null, answered_by = null"
    " returning request_id"
)
_SANDBOX: Final = (
    "(not :sandbox_only or connection_id in (select connection_id from shops"
    " where brand_id = :brand_id and mode = 'sandbox'))"
)
_PAGE: Final = text(
    f"select {_COLUMNS} from privacy_requests where brand_id = :brand_id and {_SANDBOX}"
    " and (cast(:state as text) is null or state = :state) and (cast(:kind as text) is null or kind = :kind)"
    " and (cast(:at as timestamptz) is null or (received_at, request_id) < (:at, cast(:after as uuid)))"
    " order by received_at desc, request_id desc limit :limit"
)
_GET: Final = text(
    f"select {_COLUMNS} from privacy_requests where brand_id = :brand_id and request_id = :request_id"
    f" and {_SANDBOX}"
)
_ANSWER: Final = text(
    "update privacy_requests set answered_at = :now, answered_by = :actor,"
    " state = case when kind = 'export' then 'done' else state end,"
    " done_at = case when kind = 'export' then :now else done_at end"
    " where brand_id = :brand_id and request_id = :request_id and answered_at is null"
)
_PROGRESS: Final = text(
    "update privacy_requests set receipt = cast(:receipt as jsonb)"
    " where brand_id = :brand_id and request_id = :request_id and state = 'running'"
)
_END: Final = text(
    "update privacy_requests set state = 'done', done_at = :now"
    " where brand_id = :brand_id and request_id = :request_id and state = 'running'"
)
_RUNNING: Final = text(
    "select brand_id, request_id, connection_id, receipt, received_at from privacy_requests"
    " where brand_id = any(cast(:brands as uuid[])) and state = 'running' order by received_at"
)
_UNANSWERED: Final = text(
    "select p.brand_id, p.request_id, p.kind, p.due_at, s.platform, s.external_ids"
    " from privacy_requests p join shops s on s.brand_id = p.brand_id and s.connection_id = p.connection_id"
    " where p.brand_id = any(cast(:brands as uuid[])) and p.kind = 'export' and p.state = 'open'"
)
_OLD: Final = text(
    "delete from privacy_requests where brand_id = :brand_id and done_at < :before returning request_id"
)
_SHOP: Final = text(f"select state, deleted, platform, external_ids from shops where {_KEY}")
_NO_PERSONS: Final = text(f"update privacy_requests set person = null where {_KEY}")
_NO_BODIES: Final = text(
    "update shop_deliveries set key_id = null, nonce = null, ciphertext = null, due_at = null,"
    " finished_at = coalesce(finished_at, :now),"
    " state = case when state in ('pending', 'failed', 'waiting', 'dead') then 'nothing' else state end"
    f" where {_KEY} and kind in ('order', 'refund', 'person_export', 'person_erase')"
    " and (key_id is not null or state in ('pending', 'failed', 'waiting', 'dead'))"
)


async def ask(
    tx: WriteSession,
    brand: BrandId,
    connection: ConnectionId,
    *,
    kind: str,
    told: str,
    state: str,
    person: bytes | None,
    order_ids: Sequence[str],
    now: datetime,
    receipt: Mapping[str, object] | None,
) -> UUID | None:
    """`told`: the same for the same request. An export that is known stays as it is (None); an erasure is done again
    and says so."""
    params = {
        "request_id": new_uuid(),
        "kind": kind,
        "told": told,
        "state": state,
        "person": person,
        "order_ids": list(order_ids),
        "now": now,
        "due_at": now + DUE,
        "done_at": now if state == "done" else None,
        "receipt": None if receipt is None else json.dumps(receipt),
    }
    statement = _ASK_ONCE if kind == "export" else _ASK_AGAIN
    row = await tx.one_or_none(statement, key(brand, connection) | params)
    return None if row is None else UUID(str(row.request_id))


async def page(
    tx: ReadSession,
    brand: BrandId,
    *,
    state: str | None,
    kind: str | None,
    after: tuple[datetime, UUID] | None,
    sandbox_only: bool,
    limit: int,
) -> Sequence[Row[Any]]:
    """The newest first."""
    at, request = after or (None, None)
    params = {"state": state, "kind": kind, "at": at, "after": request, "limit": limit}
    return await tx.all(_PAGE, {"brand_id": brand, "sandbox_only": sandbox_only, **params})


async def get(tx: ReadSession, brand: BrandId, request: UUID, *, sandbox_only: bool) -> Row[Any] | None:
    params = {"brand_id": brand, "request_id": request, "sandbox_only": sandbox_only}
    return await tx.one_or_none(_GET, params)


async def answer(tx: WriteSession, brand: BrandId, request: UUID, *, actor: str, now: datetime) -> bool:
    """False where it was answered before."""
    params = {"brand_id": brand, "request_id": request, "actor": actor, "now": now}
    return (await tx.execute(_ANSWER, params)).rowcount > 0


async def progress(tx: WriteSession, brand: BrandId, request: UUID, *, receipt: Mapping[str, object]) -> None:
    await tx.execute(_PROGRESS, {"brand_id": brand, "request_id": request, "receipt": json.dumps(receipt)})


async def end(tx: WriteSession, brand: BrandId, request: UUID, *, now: datetime) -> None:
    await tx.execute(_END, {"brand_id": brand, "request_id": request, "now": now})


async def running(tx: ReadSession, brands: Sequence[BrandId]) -> Sequence[Row[Any]]:
    """Erasures of shops, the one that has waited longest first."""
    return await tx.all(_RUNNING, {"brands": list(brands)})


async def unanswered(tx: ReadSession, brands: Sequence[BrandId]) -> Sequence[Row[Any]]:
    return await tx.all(_UNANSWERED, {"brands": list(brands)})


async def forget_old(tx: WriteSession, brand: BrandId, *, before: datetime) -> list[UUID]:
    """Those that were done so long ago."""
    rows = await tx.all(_OLD, {"brand_id": brand, "before": before})
    return [row.request_id for row in rows]


async def shop(tx: ReadSession, brand: BrandId, connection: ConnectionId) -> Row[Any] | None:
    return await tx.one_or_none(_SHOP, key(brand, connection))


async def forget_bodies(tx: WriteSession, brand: BrandId, connection: ConnectionId, *, now: datetime) -> None:
    """What else holds personal data of the shop's customers: bodies of webhooks, and who asked."""
    await tx.execute(_NO_BODIES, key(brand, connection) | {"now": now})
    await tx.execute(_NO_PERSONS, key(brand, connection))
