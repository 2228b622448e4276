"""SQL of the keys of personal data. Every statement names the brand, but those that find work."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from vitrin.accounts.models_seal import seal_keys
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

COUNT_MAX = 10_000
GONE = {"wrap_key_id": None, "wrap_nonce": None, "wrap_ciphertext": None}
_LOCK_BRAND = text("select pg_advisory_xact_lock(hashtextextended('seal ' || cast(:brand as text), 0))")


async def index_key(session: ReadSession, brand_id: BrandId) -> Any | None:
    statement = select(seal_keys).where(seal_keys.c.brand_id == brand_id, seal_keys.c.kind == "index")
    return await session.one_or_none(statement)


async def people(session: ReadSession, brand_id: BrandId, macs: Collection[bytes]) -> Sequence[Any]:
    """The newest generation of each."""
    statement = (
        select(seal_keys)
        .where(
            seal_keys.c.brand_id == brand_id, seal_keys.c.kind == "person", seal_keys.c.subject_mac.in_(macs)
        )
        .ext(distinct_on(seal_keys.c.subject_mac))
        .order_by(seal_keys.c.subject_mac, seal_keys.c.generation.desc())
    )
    return await session.all(statement)


async def days(session: ReadSession, brand_id: BrandId, wanted: Collection[date]) -> Sequence[Any]:
    statement = select(seal_keys).where(
        seal_keys.c.brand_id == brand_id, seal_keys.c.kind == "day", seal_keys.c.day.in_(wanted)
    )
    return await session.all(statement)


async def by_ids(session: ReadSession, brand_id: BrandId, ids: Collection[UUID]) -> Sequence[Any]:
    """Not the brand's own index key, which seals nothing."""
    statement = select(seal_keys).where(
        seal_keys.c.brand_id == brand_id, seal_keys.c.seal_key_id.in_(ids), seal_keys.c.kind != "index"
    )
    return await session.all(statement)


async def lock(session: WriteSession, brand_id: BrandId) -> None:
    """Whoever makes or destroys keys of the brand does it alone: an erasure and a new key of the same person cannot
    pass each other."""
    await session.execute(_LOCK_BRAND, {"brand": str(brand_id)})


async def insert_keys(session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
    """Under the lock. Two brands never meet in a unique index."""
    if rows:
        await session.execute(insert(seal_keys), rows)


async def destroy(
    session: WriteSession, brand_id: BrandId, ids: Collection[UUID], *, at: datetime, last_at: datetime
) -> None:
    statement = update(seal_keys).where(seal_keys.c.brand_id == brand_id, seal_keys.c.seal_key_id.in_(ids))
    await session.execute(statement.values(**GONE, destroyed_at=at, last_at=last_at))


async def generations(session: ReadSession, brand_id: BrandId, macs: Collection[bytes]) -> dict[bytes, int]:
    """How many keys each person has had; generation 0, erased without one, is none."""
    statement = (
        select(seal_keys.c.subject_mac, func.count().label("keys_had"))
        .where(
            seal_keys.c.brand_id == brand_id,
            seal_keys.c.kind == "person",
            seal_keys.c.subject_mac.in_(macs),
            seal_keys.c.generation > 0,
        )
        .group_by(seal_keys.c.subject_mac)
    )
    return {bytes(row.subject_mac): int(row.keys_had) for row in await session.all(statement)}


async def newest_living_day(session: ReadSession, brand_id: BrandId) -> date | None:
    statement = select(func.max(seal_keys.c.day)).where(
        seal_keys.c.brand_id == brand_id, seal_keys.c.kind == "day", seal_keys.c.wrap_key_id.is_not(None)
    )
    found: date | None = await session.scalar(statement)
    return found


async def living_days_before(session: ReadSession, brand_id: BrandId, before: date) -> list[UUID]:
    statement = select(seal_keys.c.seal_key_id).where(
        seal_keys.c.brand_id == brand_id,
        seal_keys.c.kind == "day",
        seal_keys.c.wrap_key_id.is_not(None),
        seal_keys.c.day < before,
    )
    return [row[0] for row in await session.all(statement)]


async def living(session: ReadSession, brand_id: BrandId, limit: int) -> list[UUID]:
    """Of any kind."""
    statement = select(seal_keys.c.seal_key_id).where(
        seal_keys.c.brand_id == brand_id, seal_keys.c.wrap_key_id.is_not(None)
    )
    return [row[0] for row in await session.all(statement.limit(limit))]


async def under_other_ring_keys(
    session: WriteSession, brand_id: BrandId, current: str, limit: int
) -> Sequence[Any]:
    statement = select(seal_keys).where(seal_keys.c.brand_id == brand_id, *_other(current))
    return await session.all(statement.limit(limit).with_for_update())


async def rewrap(session: WriteSession, brand_id: BrandId, row_id: UUID, columns: dict[str, Any]) -> None:
    statement = update(seal_keys).where(seal_keys.c.brand_id == brand_id, seal_keys.c.seal_key_id == row_id)
    await session.execute(statement.values(columns))


async def brands_with_days_before(session: ReadSession, before: date, limit: int) -> list[BrandId]:
    """For the worker role."""
    statement = (
        select(seal_keys.c.brand_id)
        .where(seal_keys.c.kind == "day", seal_keys.c.wrap_key_id.is_not(None), seal_keys.c.day < before)
        .distinct()
        .limit(limit)
    )
    return [BrandId(row[0]) for row in await session.all(statement)]


async def oldest_living_day(session: ReadSession) -> date | None:
    """For the worker role."""
    statement = select(func.min(seal_keys.c.day)).where(
        seal_keys.c.kind == "day", seal_keys.c.wrap_key_id.is_not(None)
    )
    found: date | None = await session.scalar(statement)
    return found


async def brand_under_other_ring_key(session: ReadSession, current: str) -> BrandId | None:
    """For the worker role."""
    found = await session.scalar(select(seal_keys.c.brand_id).where(*_other(current)).limit(1))
    return None if found is None else BrandId(found)


async def count_under_other_ring_keys(session: ReadSession, current: str) -> int:
    """For the worker role; up to COUNT_MAX."""
    some = select(seal_keys.c.seal_key_id).where(*_other(current)).limit(COUNT_MAX).subquery()
    return int(await session.scalar(select(func.count().label("keys_had")).select_from(some)) or 0)


def _other(current: str) -> tuple[Any, ...]:
    """Two ranges of the index, where <> would read it all."""
    return (
        seal_keys.c.wrap_key_id.is_not(None),
        or_(seal_keys.c.wrap_key_id < current, seal_keys.c.wrap_key_id > current),
    )
