"""All SQL of idempotency keys."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, KeyId

SKEW: Final = timedelta(minutes=5)
"""How far the clocks of two processes may differ; it also keeps the partitions of days to come out of a search."""

_CLAIM: Final = text("select pg_try_advisory_xact_lock(hashtextextended(:place, 0))")
_FIND: Final = text(
    "select fingerprint, status, media_type, answer from idempotency_keys"
    " where brand_id = :brand and key_id = :key_id and name = :name"
    " and created_at > :since and created_at < :until order by created_at desc limit 1"
)
_SAVE: Final = text(
    "insert into idempotency_keys (brand_id, key_id, name, created_at, fingerprint, status, media_type, answer)"
    " values (:brand, :key_id, :name, :created_at, :fingerprint, :status, :media_type, :answer)"
)


async def claim(tx: WriteSession, brand: BrandId, key_id: KeyId, name: str) -> bool:
    """Whether nobody else is at work under this key; held until the transaction ends, also by a crash."""
    return bool(await tx.scalar(_CLAIM, {"place": f"idempotency {brand} {key_id} {name}"}))


async def find(
    session: ReadSession, brand: BrandId, key_id: KeyId, name: str, *, now: datetime, keep: timedelta
) -> Row[Any] | None:
    return await session.one_or_none(
        _FIND, {"brand": brand, "key_id": key_id, "name": name, "since": now - keep, "until": now + SKEW}
    )


async def save(tx: WriteSession, brand: BrandId, key_id: KeyId, name: str, row: Mapping[str, Any]) -> None:
    await tx.execute(_SAVE, {"brand": brand, "key_id": key_id, "name": name, **row})
