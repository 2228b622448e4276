"""SQL of connected shops and of their secrets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from vitrin.accounts.models import connections
from vitrin.accounts.models_oauth import oauth_tokens
from vitrin.accounts.models_shops import connected_shops, shop_secrets
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId

_ALL_SHOPS = text("select set_config('app.lookup_shops', 'all', true)")


async def save_shop(session: WriteSession, row: dict[str, Any]) -> None:
    await session.execute(upsert(connected_shops).values(row).on_conflict_do_nothing())


async def forget_shops(session: WriteSession, brand_id: BrandId, ids: Sequence[UUID]) -> None:
    for table in (connected_shops, shop_secrets):
        await session.execute(
            delete(table).where(table.c.brand_id == brand_id, table.c.connection_id.in_(ids))
        )


async def save_secret(session: WriteSession, row: dict[str, Any], *, until: datetime) -> None:
    """Those before it hold until `until`."""
    older = (
        shop_secrets.c.brand_id == row["brand_id"],
        shop_secrets.c.connection_id == row["connection_id"],
    )
    await session.execute(delete(shop_secrets).where(*older, shop_secrets.c.expires_at.is_not(None)))
    await session.execute(update(shop_secrets).where(*older).values(expires_at=until))
    await session.execute(upsert(shop_secrets).values(row))


async def page(session: ReadSession, *, after: UUID | None, ids: Sequence[UUID], limit: int) -> list[Any]:
    """Of all brands; in a lookup."""
    await session.execute(_ALL_SHOPS)
    statement = select(connected_shops).order_by(connected_shops.c.connection_id).limit(limit)
    if ids:
        statement = statement.where(connected_shops.c.connection_id.in_(ids))
    if after is not None:
        statement = statement.where(connected_shops.c.connection_id > after)
    return list(await session.all(statement))


async def secrets(
    session: ReadSession, brand_id: BrandId, ids: Sequence[UUID], now: datetime
) -> Sequence[Any]:
    """Those that still hold, the newest first."""
    statement = select(shop_secrets).where(
        shop_secrets.c.brand_id == brand_id,
        shop_secrets.c.connection_id.in_(ids),
        shop_secrets.c.expires_at.is_(None) | (shop_secrets.c.expires_at > now),
    )
    order = (shop_secrets.c.connection_id, shop_secrets.c.created_at.desc())
    return await session.all(statement.order_by(*order))


async def apps_of(session: ReadSession, brand_id: BrandId, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The app that each connection by consent was given to."""
    statement = select(oauth_tokens.c.connection_id, oauth_tokens.c.app_id).where(
        oauth_tokens.c.brand_id == brand_id, oauth_tokens.c.connection_id.in_(ids)
    )
    return {row.connection_id: row.app_id for row in await session.all(statement)}


async def shop_of(
    session: ReadSession, brand_id: BrandId, *, platform: str, mode: str, name: str, value: str
) -> ConnectionId | None:
    """The living connection of the brand to this shop."""
    found = await session.scalar(
        select(connections.c.connection_id).where(
            connections.c.brand_id == brand_id,
            connections.c.platform == platform,
            connections.c.mode == mode,
            connections.c.external_ids[name].astext == value,
            connections.c.deleted_at.is_(None),
        )
    )
    return None if found is None else ConnectionId(found)
