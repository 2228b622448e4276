"""Hunts for the culprits of batches that were refused as a whole: a row lives as long as the hunt."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.delivery.bisect import from_record
from vitrin.kit.ids import BrandId
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.values import Channel, StoredHunt

_COLUMNS: Final = (
    "hunt_id, brand_id, channel_id, record, reasons, items, prices, calls, attempt_id, created_at, updated_at,"
    " due_at"
)
_INSERT: Final = text(
    f"insert into hunts ({_COLUMNS}) values (:hunt_id, :brand_id, :channel_id, cast(:record as jsonb),"
    " cast(:reasons as jsonb), :items, :prices, :calls, :attempt_id, :created_at, :updated_at, :due_at)"
)
_UPDATE: Final = text(
    "update hunts set record = cast(:record as jsonb), reasons = cast(:reasons as jsonb), calls = :calls,"
    " attempt_id = :attempt_id, updated_at = :updated_at, due_at = :due_at"
    " where hunt_id = :hunt_id and brand_id = :brand_id"
)
_READY: Final = text(
    f"select {_COLUMNS} from hunts h where h.brand_id = :brand_id and h.channel_id = :channel_id"
    " and (h.due_at is null or h.due_at <= :now)"
    " and not exists (select 1 from attempts a where a.attempt_id = h.attempt_id)"
    " order by created_at limit 1 for update of h"
)
_LOCK: Final = text(
    f"select {_COLUMNS} from hunts where hunt_id = :hunt_id and brand_id = :brand_id for update"
)
_OF_ATTEMPT: Final = text(
    f"select {_COLUMNS} from hunts where brand_id = :brand_id and attempt_id = :attempt_id"
)
_END: Final = text("delete from hunts where hunt_id = :hunt_id and brand_id = :brand_id")
_END_ALL: Final = text("delete from hunts where brand_id = :brand_id and channel_id = :channel_id")


def _params(stored: StoredHunt) -> dict[str, Any]:
    return {
        "hunt_id": stored.hunt_id,
        "brand_id": stored.brand_id,
        "channel_id": stored.channel_id,
        "record": json.dumps(stored.hunt.to_record()),
        "reasons": json.dumps(sync.as_json(stored.reasons)),
        "items": stored.items,
        "prices": stored.prices,
        "calls": stored.calls,
        "attempt_id": stored.attempt_id,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        "due_at": stored.due_at,
    }


def _stored(row: Any) -> StoredHunt:
    values = dict(row._mapping)
    hunt = from_record(values.pop("record"))
    return StoredHunt(**values | {"hunt": hunt, "reasons": sync.from_json(values["reasons"])})


async def create(tx: WriteSession, stored: StoredHunt) -> None:
    await tx.execute(_INSERT, _params(stored))


async def save(tx: WriteSession, stored: StoredHunt) -> None:
    await tx.execute(_UPDATE, _params(stored))


async def end(tx: WriteSession, stored: StoredHunt) -> None:
    """Only when no item points to it any more: such an item would wait for ever."""
    await tx.execute(_END, {"hunt_id": stored.hunt_id, "brand_id": stored.brand_id})


async def ready(tx: WriteSession, channel: Channel, *, now: datetime) -> StoredHunt | None:
    """The oldest hunt of the channel without a call under way that need not wait, locked."""
    params = {"brand_id": channel.brand_id, "channel_id": channel.channel_id, "now": now}
    row = await tx.one_or_none(_READY, params)
    return _stored(row) if row else None


async def lock(tx: WriteSession, brand: BrandId, hunt: UUID) -> StoredHunt | None:
    row = await tx.one_or_none(_LOCK, {"brand_id": brand, "hunt_id": hunt})
    return _stored(row) if row else None


async def of_attempt(tx: ReadSession, brand: BrandId, attempt: UUID) -> StoredHunt | None:
    """The hunt whose call this is."""
    row = await tx.one_or_none(_OF_ATTEMPT, {"brand_id": brand, "attempt_id": attempt})
    return _stored(row) if row else None


async def end_all(tx: WriteSession, channel: Channel) -> None:
    await tx.execute(_END_ALL, {"brand_id": channel.brand_id, "channel_id": channel.channel_id})
