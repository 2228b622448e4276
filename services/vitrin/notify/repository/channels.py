"""SQL of channels of notifications. The brand is in every query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_SHOWN: Final = (
    "channel_id, brand_id, type, name, target_hint, key_id, nonce, ciphertext, rules, digest, digest_at, quiet_from,"
    " quiet_until, time_zone, resolved, enabled, disabled_code, disabled_reason, disabled_at, confirmed_at,"
    " code_key_id, code_nonce, code_ciphertext, code_expires_at, code_tries, created_at, created_by, updated_at"
)
_LOCK_BRAND: Final = text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
_COUNT: Final = text("select count(*) from notification_channels where brand_id = :brand_id")
_INSERT: Final = text(
    "insert into notification_channels (channel_id, brand_id, type, name, target_hint, key_id, nonce, ciphertext,"
    " rules, digest, digest_at, quiet_from, quiet_until, time_zone, resolved, enabled, confirmed_at,"
    " created_at, created_by,"
    " updated_at) values (:channel_id, :brand_id, :type, :name, :target_hint, :key_id, :nonce, :ciphertext,"
    " cast(:rules as jsonb), :digest, :digest_at, :quiet_from, :quiet_until, :time_zone, :resolved, true,"
    " :confirmed_at, :now, :by, :now)"
)
_INSERT_QUEUE: Final = text(
    "insert into notification_queues (channel_id, brand_id) values (:channel_id, :brand_id)"
)
_GET: Final = text(
    f"select {_SHOWN} from notification_channels where brand_id = :brand_id and channel_id = :channel_id"
)
_LOCK: Final = text(
    "select 1 from notification_queues where brand_id = :brand_id and channel_id = :channel_id for update"
)
_PAGE: Final = text(
    f"select {_SHOWN} from notification_channels where brand_id = :brand_id"
    " and (cast(:after as uuid) is null or channel_id > cast(:after as uuid)) order by channel_id limit :limit"
)
_LISTENING: Final = text(
    f"select {_SHOWN} from notification_channels where brand_id = :brand_id and enabled"
    " and confirmed_at is not null order by channel_id"
)
_CHANGE: Final = text(
    "update notification_channels set name = :name, rules = cast(:rules as jsonb), digest = :digest,"
    " digest_at = :digest_at, quiet_from = :quiet_from, quiet_until = :quiet_until, time_zone = :time_zone,"
    " resolved = :resolved, enabled = :enabled, disabled_code = :disabled_code, disabled_reason = :disabled_reason,"
    " disabled_at = :disabled_at, updated_at = :now where brand_id = :brand_id and channel_id = :channel_id"
)
_DISABLE: Final = text(
    "update notification_channels set enabled = false, disabled_code = :code, disabled_reason = :reason,"
    " disabled_at = :now, updated_at = :now where brand_id = :brand_id and channel_id = :channel_id and enabled"
    " returning name, target_hint"
)
_DELETE: Final = text(
    "delete from notification_channels where brand_id = :brand_id and channel_id = :channel_id"
)
_NEW_CODE: Final = text(
    "update notification_channels set code_key_id = :key_id, code_nonce = :nonce, code_ciphertext = :ciphertext,"
    " code_expires_at = :expires_at, code_tries = 0 where brand_id = :brand_id and channel_id = :channel_id"
)
_TRY_CODE: Final = text(
    "update notification_channels set code_tries = code_tries + 1 where brand_id = :brand_id"
    f" and channel_id = :channel_id returning {_SHOWN}"
)
_CONFIRM: Final = text(
    "update notification_channels set confirmed_at = :now, code_key_id = null, code_nonce = null,"
    " code_ciphertext = null, code_expires_at = null, code_tries = 0, updated_at = :now where brand_id ="
    " :brand_id and channel_id = :channel_id"
)
_ATTEMPTS: Final = text(
    "select at, attempt_id, purpose, notice_ids, outcome, detail, fix, status, latency_ms, next_try_at"
    " from notification_attempts where brand_id = :brand_id and channel_id = :channel_id"
    " and (cast(:at as timestamptz) is null or (at, attempt_id) < (:at, cast(:id as uuid)))"
    " order by at desc, attempt_id desc limit :limit"
)


async def lock_brand(tx: WriteSession, brand: BrandId) -> None:
    """One at a time per brand, so that its limit of channels holds."""
    await tx.execute(_LOCK_BRAND, {"name": f"notification_channels {brand}"})


async def count(tx: ReadSession, brand: BrandId) -> int:
    return int(await tx.scalar(_COUNT, {"brand_id": brand}))


async def insert(tx: WriteSession, brand: BrandId, values: Mapping[str, Any]) -> None:
    await tx.execute(_INSERT, {**values, "brand_id": brand})
    await tx.execute(_INSERT_QUEUE, {"brand_id": brand, "channel_id": values["channel_id"]})


async def get(tx: ReadSession, brand: BrandId, channel: UUID) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "channel_id": channel})


async def lock(tx: WriteSession, brand: BrandId, channel: UUID) -> Row[Any] | None:
    """Its queue is locked, as by whoever saves an outcome; then it is read."""
    if await tx.one_or_none(_LOCK, {"brand_id": brand, "channel_id": channel}) is None:
        return None
    return await get(tx, brand, channel)


async def page(tx: ReadSession, brand: BrandId, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    return await tx.all(_PAGE, {"brand_id": brand, "after": after, "limit": limit})


async def listening(tx: ReadSession, brand: UUID) -> Sequence[Row[Any]]:
    """Enabled and confirmed ones."""
    return await tx.all(_LISTENING, {"brand_id": brand})


async def change(tx: WriteSession, brand: BrandId, channel: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(_CHANGE, {**values, "brand_id": brand, "channel_id": channel})


async def disable(
    tx: WriteSession, brand: UUID, channel: UUID, *, code: str, reason: str, now: datetime
) -> Row[Any] | None:
    """None when it was disabled or deleted already."""
    params = {"brand_id": brand, "channel_id": channel, "code": code, "reason": reason, "now": now}
    return await tx.one_or_none(_DISABLE, params)


async def delete(tx: WriteSession, brand: BrandId, channel: UUID) -> None:
    """With its queue and its deliveries; the log of attempts stays its time."""
    await tx.execute(_DELETE, {"brand_id": brand, "channel_id": channel})


async def new_code(tx: WriteSession, brand: BrandId, channel: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(_NEW_CODE, {**values, "brand_id": brand, "channel_id": channel})


async def try_code(tx: WriteSession, brand: BrandId, channel: UUID) -> Row[Any] | None:
    """Counted before it is compared."""
    return await tx.one_or_none(_TRY_CODE, {"brand_id": brand, "channel_id": channel})


async def confirm(tx: WriteSession, brand: BrandId, channel: UUID, now: datetime) -> None:
    await tx.execute(_CONFIRM, {"brand_id": brand, "channel_id": channel, "now": now})


async def attempts(
    tx: ReadSession, brand: BrandId, channel: UUID, *, position: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row[Any]]:
    params = {
        "brand_id": brand,
        "channel_id": channel,
        "at": position[0] if position else None,
        "id": position[1] if position else None,
        "limit": limit,
    }
    return await tx.all(_ATTEMPTS, params)
