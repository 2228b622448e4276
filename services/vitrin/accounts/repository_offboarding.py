"""SQL of brands that leave. Every statement names the brand, but the one that finds work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update

from vitrin.accounts.models import api_keys, connections, members
from vitrin.accounts.models_oauth import oauth_apps, oauth_attempts
from vitrin.accounts.models_offboarding import offboardings
from vitrin.accounts.models_shops import connected_shops, shop_secrets
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId


async def find(session: ReadSession, brand_id: BrandId) -> Any | None:
    return await session.one_or_none(select(offboardings).where(offboardings.c.brand_id == brand_id))


async def save(session: WriteSession, row: dict[str, Any]) -> Any:
    return (await session.execute(insert(offboardings).values(row).returning(offboardings))).one()


async def change(session: WriteSession, brand_id: BrandId, changes: dict[str, Any]) -> Any:
    statement = update(offboardings).where(offboardings.c.brand_id == brand_id).values(changes)
    return (await session.execute(statement.returning(offboardings))).one()


async def forget(session: WriteSession, brand_id: BrandId) -> None:
    await session.execute(delete(offboardings).where(offboardings.c.brand_id == brand_id))


async def living_keys(session: WriteSession, brand_id: BrandId) -> Sequence[Any]:
    statement = select(api_keys).where(api_keys.c.brand_id == brand_id, api_keys.c.revoked_at.is_(None))
    return await session.all(statement.order_by(api_keys.c.key_id).with_for_update())


async def living_connections(session: WriteSession, brand_id: BrandId) -> Sequence[Any]:
    statement = select(connections).where(
        connections.c.brand_id == brand_id, connections.c.deleted_at.is_(None)
    )
    return await session.all(statement.order_by(connections.c.connection_id).with_for_update())


async def forget_people_and_apps(session: WriteSession, brand_id: BrandId, now: datetime) -> None:
    gone = {"name": "", "email": "", "removed_at": now, "changed_at": now}
    await session.execute(
        update(members)
        .where(members.c.brand_id == brand_id, members.c.removed_at.is_(None))
        .values(**gone, version=members.c.version + 1)
    )
    for table in (oauth_apps, oauth_attempts, connected_shops, shop_secrets):
        await session.execute(delete(table).where(table.c.brand_id == brand_id))


async def due(session: ReadSession, now: datetime, limit: int) -> list[BrandId]:
    """For the worker role."""
    statement = select(offboardings.c.brand_id).where(
        or_(
            and_(offboardings.c.state == "waiting", offboardings.c.due_at <= now),
            offboardings.c.state == "ending",
        )
    )
    return [BrandId(row[0]) for row in await session.all(statement.limit(limit))]
