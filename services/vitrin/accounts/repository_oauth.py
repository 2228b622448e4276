"""SQL of connecting by consent. Every statement names the brand, but those that find work or a state."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from vitrin.accounts.domain_oauth import CHOOSE_ASSETS, FAILING_AFTER
from vitrin.accounts.models import connections
from vitrin.accounts.models_oauth import oauth_apps, oauth_attempts, oauth_tokens
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId

_NAME_THE_STATE = text("select set_config('app.lookup_state', :state_hash, true)")


async def save_app(session: WriteSession, row: dict[str, Any]) -> Any:
    statement = upsert(oauth_apps).values(row)
    changed = {name: statement.excluded[name] for name in row if name not in ("brand_id", "platform", "mode")}
    statement = statement.on_conflict_do_update(index_elements=["brand_id", "platform", "mode"], set_=changed)
    return (await session.execute(statement.returning(oauth_apps))).one()


async def app(session: ReadSession, brand_id: BrandId, platform: str, mode: str) -> Any | None:
    statement = select(oauth_apps).where(
        oauth_apps.c.brand_id == brand_id, oauth_apps.c.platform == platform, oauth_apps.c.mode == mode
    )
    return await session.one_or_none(statement)


async def apps(session: ReadSession, brand_id: BrandId, modes: Collection[str]) -> Sequence[Any]:
    statement = select(oauth_apps).where(oauth_apps.c.brand_id == brand_id, oauth_apps.c.mode.in_(modes))
    return await session.all(statement.order_by(oauth_apps.c.platform, oauth_apps.c.mode))


async def delete_app(session: WriteSession, brand_id: BrandId, platform: str, mode: str) -> Any | None:
    statement = delete(oauth_apps).where(
        oauth_apps.c.brand_id == brand_id, oauth_apps.c.platform == platform, oauth_apps.c.mode == mode
    )
    return (await session.execute(statement.returning(oauth_apps))).one_or_none()


async def open_attempts(session: ReadSession, brand_id: BrandId, now: datetime) -> int:
    mine = (oauth_attempts.c.brand_id == brand_id, oauth_attempts.c.expires_at > now)
    statement = select(func.count()).select_from(oauth_attempts)
    return int(await session.scalar(statement.where(*mine, oauth_attempts.c.used_at.is_(None))))


async def forget_attempts(session: WriteSession, brand_id: BrandId, before: datetime) -> None:
    """Attempts of long ago; whoever starts one clears the brand's."""
    await session.execute(
        delete(oauth_attempts).where(
            oauth_attempts.c.brand_id == brand_id, oauth_attempts.c.created_at < before
        )
    )


async def insert_attempt(session: WriteSession, row: dict[str, Any]) -> Any:
    return (await session.execute(insert(oauth_attempts).values(row).returning(oauth_attempts))).one()


async def find_attempt(session: ReadSession, state_hash: bytes) -> Any | None:
    """In a transaction without a brand: sees this one attempt only."""
    await session.execute(_NAME_THE_STATE, {"state_hash": state_hash.hex()})
    return await session.one_or_none(select(oauth_attempts).where(oauth_attempts.c.state_hash == state_hash))


async def attempt(session: ReadSession, brand_id: BrandId, attempt_id: Any) -> Any | None:
    statement = select(oauth_attempts).where(
        oauth_attempts.c.brand_id == brand_id, oauth_attempts.c.attempt_id == attempt_id
    )
    return await session.one_or_none(statement)


async def use_attempt(session: WriteSession, brand_id: BrandId, attempt_id: Any, at: datetime) -> bool:
    """False when somebody was faster: a state works once. Its verifier is destroyed with it."""
    statement = (
        update(oauth_attempts)
        .where(
            oauth_attempts.c.brand_id == brand_id,
            oauth_attempts.c.attempt_id == attempt_id,
            oauth_attempts.c.used_at.is_(None),
        )
        .values(used_at=at, verifier_key_id=None, verifier_nonce=None, verifier_ciphertext=None)
        .returning(oauth_attempts.c.attempt_id)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def end_attempt(
    session: WriteSession, brand_id: BrandId, attempt_id: Any, changes: dict[str, Any]
) -> None:
    await session.execute(
        update(oauth_attempts)
        .where(oauth_attempts.c.brand_id == brand_id, oauth_attempts.c.attempt_id == attempt_id)
        .values(**changes)
    )


async def save_token(session: WriteSession, row: dict[str, Any]) -> None:
    statement = upsert(oauth_tokens).values(row)
    changed = {name: statement.excluded[name] for name in row if name != "connection_id"}
    await session.execute(statement.on_conflict_do_update(index_elements=["connection_id"], set_=changed))


async def token(session: ReadSession, brand_id: BrandId, connection_id: ConnectionId) -> Any | None:
    return await session.one_or_none(_tokens(brand_id, [connection_id]))


async def tokens(
    session: ReadSession, brand_id: BrandId, connection_ids: Sequence[ConnectionId]
) -> Sequence[Any]:
    return await session.all(_tokens(brand_id, connection_ids))


async def lock_token(session: WriteSession, brand_id: BrandId, connection_id: ConnectionId) -> Any | None:
    """After the connection's row, always."""
    return await session.one_or_none(_tokens(brand_id, [connection_id]).with_for_update())


async def change_token(
    session: WriteSession, brand_id: BrandId, connection_id: ConnectionId, changes: dict[str, Any]
) -> None:
    await session.execute(
        update(oauth_tokens)
        .where(oauth_tokens.c.brand_id == brand_id, oauth_tokens.c.connection_id == connection_id)
        .values(**changes)
    )


async def forget_token(session: WriteSession, brand_id: BrandId, connection_id: ConnectionId) -> None:
    """The refresh token is destroyed: the connection is deleted, or has a token that was given by hand."""
    await session.execute(
        delete(oauth_tokens).where(
            oauth_tokens.c.brand_id == brand_id, oauth_tokens.c.connection_id == connection_id
        )
    )


async def due(session: ReadSession, now: datetime, limit: int) -> Sequence[Any]:
    """Of every brand, for the worker role: tokens to renew, the longest due first."""
    free = oauth_tokens.c.claimed_until.is_(None) | (oauth_tokens.c.claimed_until <= now)
    statement = select(oauth_tokens.c.brand_id, oauth_tokens.c.connection_id).where(
        oauth_tokens.c.refresh_at <= now, free
    )
    return await session.all(statement.order_by(oauth_tokens.c.refresh_at).limit(limit))


async def ended(session: ReadSession, now: datetime, limit: int) -> Sequence[Any]:
    """Of every brand, for the worker role: connections that call themselves active and whose token has ended."""
    statement = select(connections.c.brand_id, connections.c.connection_id).where(
        connections.c.expires_at <= now, connections.c.state == "active"
    )
    return await session.all(statement.order_by(connections.c.expires_at).limit(limit))


async def abandoned(session: ReadSession, before: datetime, limit: int) -> Sequence[Any]:
    """Of every brand, for the worker role: consents without a choice."""
    statement = select(connections.c.brand_id, connections.c.connection_id).where(
        connections.c.state == CHOOSE_ASSETS, connections.c.created_at < before
    )
    return await session.all(statement.order_by(connections.c.created_at).limit(limit))


async def ending(session: ReadSession, before: datetime) -> Sequence[Any]:
    """Of every brand, for the worker role: active connections that end before then, with their platform and renewal;
    `failing` where FAILING_AFTER renewals in a row went wrong."""
    failing = oauth_tokens.c.failures >= FAILING_AFTER
    renewal = case((failing, "failing"), else_=func.coalesce(oauth_tokens.c.renewal, "by_hand")).label(
        "renewal"
    )
    joined = connections.outerjoin(oauth_tokens, oauth_tokens.c.connection_id == connections.c.connection_id)
    columns = (
        connections.c.brand_id,
        connections.c.connection_id,
        connections.c.platform,
        connections.c.expires_at,
    )
    statement = (
        select(*columns, renewal)
        .select_from(joined)
        .where(connections.c.expires_at < before, connections.c.state == "active")
    )
    return await session.all(statement)


def _tokens(brand_id: BrandId, connection_ids: Sequence[ConnectionId]) -> Any:
    return select(oauth_tokens).where(
        oauth_tokens.c.brand_id == brand_id, oauth_tokens.c.connection_id.in_(connection_ids)
    )
