"""SQL of the origins that publishable keys may be used from, and of when a key ends."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_ORIGINS: Final = text(
    "select key_id, origin, created_at, created_by from event_origins where brand_id = :brand_id"
    " order by key_id, origin"
)
_CLEAR: Final = text("delete from event_origins where brand_id = :brand_id")
_ADD: Final = text(
    "insert into event_origins (brand_id, key_id, origin, created_at, created_by)"
    " values (:brand_id, :key_id, :origin, :now, :by)"
)
_OF_KEY: Final = text(
    "select b.storefront_url, k.expires_at from (select cast(:brand_id as uuid) as brand_id) as one"
    " left join access_brands b on b.brand_id = one.brand_id"
    " left join access_keys k on k.brand_id = one.brand_id and k.key_id = :key_id"
)


async def origins(session: ReadSession, brand: BrandId) -> Sequence[Row[Any]]:
    return await session.all(_ORIGINS, {"brand_id": brand})


async def replace(
    tx: WriteSession, brand: BrandId, wanted: Sequence[tuple[str, str]], *, now: datetime, by: str
) -> None:
    """`wanted`: key id (empty: every key of the brand) and origin."""
    await tx.execute(_CLEAR, {"brand_id": brand})
    for key_id, origin in wanted:
        await tx.execute(_ADD, {"brand_id": brand, "key_id": key_id, "origin": origin, "now": now, "by": by})


async def of_key(session: ReadSession, brand: BrandId, key_id: str) -> Row[Any]:
    """Storefront and end of a key, as far as the replica has them."""
    row = await session.one_or_none(_OF_KEY, {"brand_id": brand, "key_id": key_id})
    assert row is not None
    return row
