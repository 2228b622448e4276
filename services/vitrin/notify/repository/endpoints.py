"""SQL of endpoints, their secrets and their queues. The brand is in every query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_COLUMNS: Final = (
    "endpoint_id, brand_id, url, description, event_types, ordered, enabled, disabled_code, disabled_reason,"
    " disabled_at, created_at, created_by, updated_at"
)
_SHOWN: Final = (
    ", ".join(f"e.{name.strip()}" for name in _COLUMNS.split(",")) + ", q.failures, q.failing_since"
)
_LOCK_BRAND: Final = text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
_COUNT: Final = text("select count(*) from webhook_endpoints where brand_id = :brand_id")
_INSERT: Final = text(
    "insert into webhook_endpoints (endpoint_id, brand_id, url, description, event_types, ordered, enabled,"
    " disabled_code, disabled_reason, disabled_at, created_at, created_by, updated_at) values (:endpoint_id, :brand_id,"
    " :url, :description, :event_types, :ordered, :enabled, :disabled_code, :disabled_reason, :disabled_at, :now, :by,"
    " :now)"
)
_INSERT_QUEUE: Final = text(
    "insert into webhook_queues (endpoint_id, brand_id) values (:endpoint_id, :brand_id)"
)
_FROM: Final = "from webhook_endpoints e join webhook_queues q on q.endpoint_id = e.endpoint_id"
_GET: Final = text(f"select {_SHOWN} {_FROM} where e.brand_id = :brand_id and e.endpoint_id = :endpoint_id")
_LOCK: Final = text(
    "select 1 from webhook_queues where brand_id = :brand_id and endpoint_id = :endpoint_id for update"
)
_LIST: Final = text(
    f"select {_SHOWN} {_FROM} where e.brand_id = :brand_id"
    " and (cast(:after as uuid) is null or e.endpoint_id > cast(:after as uuid)) order by e.endpoint_id limit :limit"
)
_CHANGE: Final = text(
    "update webhook_endpoints set url = :url, description = :description, event_types = :event_types,"
    " ordered = :ordered, enabled = :enabled, disabled_code = :disabled_code, disabled_reason = :disabled_reason,"
    " disabled_at = :disabled_at, updated_at = :now where brand_id = :brand_id and endpoint_id = :endpoint_id"
)
_DELETE: Final = text(
    "delete from webhook_endpoints where brand_id = :brand_id and endpoint_id = :endpoint_id"
)
_WELL: Final = text(
    "update webhook_queues set failures = 0, failing_since = null, failing_days = 0, failed_on = null,"
    " rest_until = null, slow = false where brand_id = :brand_id and endpoint_id = :endpoint_id"
)
_DISABLE: Final = text(
    "update webhook_endpoints set enabled = false, disabled_code = :code, disabled_reason = :reason,"
    " disabled_at = :now, updated_at = :now where brand_id = :brand_id and endpoint_id = :endpoint_id and enabled"
)
_SUBSCRIBED: Final = text(
    "select endpoint_id, brand_id, event_types from webhook_endpoints"
    " where brand_id = any(cast(:brand_ids as uuid[])) and enabled order by endpoint_id"
)
_SECRETS: Final = text(
    "select secret_id, key_id, nonce, ciphertext, hint, created_at, expires_at from webhook_secrets"
    " where brand_id = :brand_id and endpoint_id = :endpoint_id and (expires_at is null or expires_at > :now)"
    " order by created_at desc, secret_id desc"
)
_ADD_SECRET: Final = text(
    "insert into webhook_secrets (brand_id, endpoint_id, secret_id, key_id, nonce, ciphertext, hint, created_at)"
    " values (:brand_id, :endpoint_id, :secret_id, :key_id, :nonce, :ciphertext, :hint, :now)"
)
_END_SECRETS: Final = text(
    "update webhook_secrets set expires_at = least(coalesce(expires_at, :until), :until)"
    " where brand_id = :brand_id and endpoint_id = :endpoint_id and (expires_at is null or expires_at > :until)"
)
_FORGET_SECRETS: Final = text(
    "delete from webhook_secrets where brand_id = :brand_id and endpoint_id = :endpoint_id and expires_at <= :now"
)


async def lock_brand(tx: WriteSession, brand: BrandId) -> None:
    """One at a time per brand, so that its limit of endpoints holds."""
    await tx.execute(_LOCK_BRAND, {"name": f"webhook_endpoints {brand}"})


async def count(tx: ReadSession, brand: BrandId) -> int:
    return int(await tx.scalar(_COUNT, {"brand_id": brand}))


async def insert(tx: WriteSession, brand: BrandId, values: Mapping[str, Any]) -> None:
    await tx.execute(_INSERT, {**values, "brand_id": brand})
    await tx.execute(_INSERT_QUEUE, {"brand_id": brand, "endpoint_id": values["endpoint_id"]})


async def get(tx: ReadSession, brand: BrandId, endpoint: UUID) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "endpoint_id": endpoint})


async def lock(tx: WriteSession, brand: BrandId, endpoint: UUID) -> Row[Any] | None:
    """Its queue is locked, as by whoever saves an outcome; then it is read: what was just changed is seen."""
    if await tx.one_or_none(_LOCK, {"brand_id": brand, "endpoint_id": endpoint}) is None:
        return None
    return await get(tx, brand, endpoint)


async def page(tx: ReadSession, brand: BrandId, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    return await tx.all(_LIST, {"brand_id": brand, "after": after, "limit": limit})


async def change(tx: WriteSession, brand: BrandId, endpoint: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(_CHANGE, {**values, "brand_id": brand, "endpoint_id": endpoint})


async def delete(tx: WriteSession, brand: BrandId, endpoint: UUID) -> bool:
    return (await tx.execute(_DELETE, {"brand_id": brand, "endpoint_id": endpoint})).rowcount > 0


async def forget_failures(tx: WriteSession, brand: BrandId, endpoint: UUID) -> None:
    await tx.execute(_WELL, {"brand_id": brand, "endpoint_id": endpoint})


async def disable(
    tx: WriteSession, brand: BrandId, endpoint: UUID, *, code: str, reason: str, now: datetime
) -> bool:
    """False when it was disabled or deleted already."""
    params = {"brand_id": brand, "endpoint_id": endpoint, "code": code, "reason": reason, "now": now}
    return (await tx.execute(_DISABLE, params)).rowcount > 0


async def subscribed(tx: ReadSession, brands: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Enabled endpoints of these brands with their filters."""
    return await tx.all(_SUBSCRIBED, {"brand_ids": list(brands)})


async def secrets(tx: ReadSession, brand: BrandId, endpoint: UUID, now: datetime) -> Sequence[Row[Any]]:
    """Valid ones, the newest first."""
    return await tx.all(_SECRETS, {"brand_id": brand, "endpoint_id": endpoint, "now": now})


async def add_secret(tx: WriteSession, brand: BrandId, endpoint: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(_ADD_SECRET, {**values, "brand_id": brand, "endpoint_id": endpoint})


async def end_secrets(
    tx: WriteSession, brand: BrandId, endpoint: UUID, *, until: datetime, now: datetime
) -> None:
    """All that are there expire at `until`, or earlier where that was said before; expired ones are destroyed."""
    params = {"brand_id": brand, "endpoint_id": endpoint}
    await tx.execute(_END_SECRETS, {**params, "until": until})
    await tx.execute(_FORGET_SECRETS, {**params, "now": now})
