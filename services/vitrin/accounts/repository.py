"""All SQL of accounts. Every statement names the brand; the policies of the tables say the same again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, exists, insert, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_keep

from vitrin.accounts.domain import HEIR_LIVES, OWNER_SCOPE
from vitrin.accounts.domain_oauth import CHOOSE_ASSETS
from vitrin.accounts.models import (
    api_key_uses,
    api_keys,
    audit_entries,
    brands,
    connections,
    first_brand,
    outgoing_switches,
)
from vitrin.kit.access.lookup import LOOKUP_KEY
from vitrin.kit.access.uses import KeyUse
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId, KeyId

_SAVE_USES = text(
    "insert into api_key_uses (key_id, brand_id, used_at)"
    " select api_keys.key_id, api_keys.brand_id, told.used_at"
    " from unnest(cast(:keys as text[]), cast(:brands as uuid[]), cast(:moments as timestamptz[]))"
    " as told (key_id, brand_id, used_at)"
    " join api_keys on api_keys.key_id = told.key_id and api_keys.brand_id = told.brand_id order by api_keys.key_id"
    " on conflict (key_id) do update set used_at = excluded.used_at where api_key_uses.used_at < excluded.used_at"
)
_NAME_THE_KEY = text(f"select set_config('{LOOKUP_KEY}', :key_id, true)")


async def brand(session: ReadSession, brand_id: BrandId) -> Any | None:
    return await session.one_or_none(select(brands).where(brands.c.brand_id == brand_id))


async def lock_brand(session: WriteSession, brand_id: BrandId) -> Any | None:
    """Taken before any row of the brand's connections or keys, always in this order. Does not hold up an insert of
    either, whose foreign key looks at the brand."""
    statement = select(brands).where(brands.c.brand_id == brand_id).with_for_update(key_share=True)
    return await session.one_or_none(statement)


async def claim_first_brand(session: WriteSession, at: datetime) -> bool:
    """Whether this is the first brand ever. Waits for another transaction that is about to make it."""
    claimed = insert_or_keep(first_brand).values(one=True, made_at=at).on_conflict_do_nothing()
    return (await session.execute(claimed.returning(first_brand.c.one))).one_or_none() is not None


async def insert_brand(session: WriteSession, row: dict[str, Any]) -> Any:
    """IntegrityError on `brands_slug_is_unique` and `brands_pkey`."""
    return (await session.execute(insert(brands).values(row).returning(brands))).one()


async def update_brand(session: WriteSession, brand_id: BrandId, changes: dict[str, Any]) -> Any:
    statement = (
        update(brands)
        .where(brands.c.brand_id == brand_id)
        .values(**changes, version=brands.c.version + 1)
        .returning(brands)
    )
    return (await session.execute(statement)).one()


async def find_key(session: ReadSession, key_id: KeyId) -> tuple[Any, Any] | None:
    """The key and its brand, in a transaction without a brand; sees this one key only."""
    await session.execute(_NAME_THE_KEY, {"key_id": key_id})
    key = await session.one_or_none(select(api_keys).where(api_keys.c.key_id == key_id))
    if key is None:
        return None
    found = await session.one_or_none(select(brands).where(brands.c.brand_id == key.brand_id))
    return None if found is None else (key, found)


async def key(
    session: ReadSession, brand_id: BrandId, key_id: KeyId, *, modes: tuple[str, ...]
) -> Any | None:
    """With its last use."""
    return await session.one_or_none(_keys_with_use(brand_id, modes).where(api_keys.c.key_id == key_id))


async def lock_key(
    session: WriteSession, brand_id: BrandId, key_id: KeyId, *, modes: tuple[str, ...]
) -> Any | None:
    statement = _keys(brand_id, modes).where(api_keys.c.key_id == key_id).with_for_update()
    return await session.one_or_none(statement)


async def keys_page(
    session: ReadSession, brand_id: BrandId, *, modes: tuple[str, ...], after: str, limit: int
) -> list[Any]:
    """With their last uses."""
    statement = _keys_with_use(brand_id, modes).where(api_keys.c.key_id > after)
    return list(await session.all(statement.order_by(api_keys.c.key_id).limit(limit)))


async def has_other_owner_key(
    session: ReadSession, brand_id: BrandId, key_id: KeyId, *, modes: tuple[str, ...], now: datetime
) -> bool:
    """Another secret key that can manage the brand, and for longer than HEIR_LIVES."""
    others = _keys(brand_id, modes).where(
        api_keys.c.key_id != key_id,
        api_keys.c.kind == "secret",
        api_keys.c.role == "owner",
        literal(OWNER_SCOPE) == any_(api_keys.c.scopes),
        api_keys.c.revoked_at.is_(None),
        api_keys.c.rotated_to.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now + HEIR_LIVES),
    )
    return bool(await session.scalar(select(exists(others))))


async def insert_key(session: WriteSession, row: dict[str, Any]) -> Any:
    return (await session.execute(insert(api_keys).values(row).returning(api_keys))).one()


async def update_key(session: WriteSession, brand_id: BrandId, key_id: KeyId, changes: dict[str, Any]) -> Any:
    statement = (
        update(api_keys)
        .where(api_keys.c.brand_id == brand_id, api_keys.c.key_id == key_id)
        .values(**changes, version=api_keys.c.version + 1)
        .returning(api_keys)
    )
    return (await session.execute(statement)).one()


async def save_uses(session: WriteSession, uses: Sequence[KeyUse]) -> None:
    """In the order of the keys, so that two reports never wait for each other in a ring. A crash may lose it."""
    await session.execute(text("set local synchronous_commit = off"))
    params = {
        "keys": [use.key_id for use in uses],
        "brands": [use.brand_id for use in uses],
        "moments": [use.used_at for use in uses],
    }
    await session.execute(_SAVE_USES, params)


async def connection(
    session: ReadSession, brand_id: BrandId, connection_id: ConnectionId, *, modes: tuple[str, ...]
) -> Any | None:
    """None for a deleted one too."""
    statement = _connections(brand_id, modes).where(connections.c.connection_id == connection_id)
    return await session.one_or_none(statement)


async def lock_connection(
    session: WriteSession, brand_id: BrandId, connection_id: ConnectionId, *, modes: tuple[str, ...]
) -> Any | None:
    statement = _connections(brand_id, modes).where(connections.c.connection_id == connection_id)
    return await session.one_or_none(statement.with_for_update())


async def connections_page(
    session: ReadSession, brand_id: BrandId, *, modes: tuple[str, ...], after: UUID | None, limit: int
) -> list[Any]:
    statement = _connections(brand_id, modes)
    if after is not None:
        statement = statement.where(connections.c.connection_id > after)
    return list(await session.all(statement.order_by(connections.c.connection_id).limit(limit)))


async def insert_connection(session: WriteSession, row: dict[str, Any]) -> Any:
    """IntegrityError on `connections_one_per_catalog`."""
    return (await session.execute(insert(connections).values(row).returning(connections))).one()


async def update_connection(
    session: WriteSession, brand_id: BrandId, connection_id: ConnectionId, changes: dict[str, Any]
) -> Any:
    statement = (
        update(connections)
        .where(connections.c.brand_id == brand_id, connections.c.connection_id == connection_id)
        .values(**changes, version=connections.c.version + 1)
        .returning(connections)
    )
    return (await session.execute(statement)).one()


async def has_live_connection(session: ReadSession, brand_id: BrandId) -> bool:
    live = _connections(brand_id, ("live",)).where(connections.c.state != CHOOSE_ASSETS)
    return bool(await session.scalar(select(exists(live))))


async def lock_switch(session: WriteSession, brand_id: BrandId, platform: str, *, row: dict[str, Any]) -> Any:
    """The switch, locked; `row` is what it is before anybody has touched it."""
    await session.execute(insert_or_keep(outgoing_switches).values(row).on_conflict_do_nothing())
    statement = select(outgoing_switches).where(
        outgoing_switches.c.brand_id == brand_id, outgoing_switches.c.platform == platform
    )
    return (await session.execute(statement.with_for_update())).one()


async def update_switch(
    session: WriteSession, brand_id: BrandId, platform: str, changes: dict[str, Any]
) -> Any:
    statement = (
        update(outgoing_switches)
        .where(outgoing_switches.c.brand_id == brand_id, outgoing_switches.c.platform == platform)
        .values(**changes, version=outgoing_switches.c.version + 1)
        .returning(outgoing_switches)
    )
    return (await session.execute(statement)).one()


async def switches(session: ReadSession, brand_ids: tuple[BrandId, ...]) -> list[Any]:
    """Every switch that was ever touched, the house's first."""
    statement = select(outgoing_switches).where(
        outgoing_switches.c.brand_id.in_(brand_ids), outgoing_switches.c.version > 0
    )
    ordered = statement.order_by(outgoing_switches.c.brand_id, outgoing_switches.c.platform)
    return list(await session.all(ordered))


async def insert_audit(session: WriteSession, row: dict[str, Any]) -> None:
    await session.execute(insert(audit_entries).values(row))


def _keys(brand_id: BrandId, modes: tuple[str, ...]) -> Select[Any]:
    return select(api_keys).where(api_keys.c.brand_id == brand_id, api_keys.c.mode.in_(modes))


def _keys_with_use(brand_id: BrandId, modes: tuple[str, ...]) -> Select[Any]:
    joined = api_keys.outerjoin(api_key_uses, api_keys.c.key_id == api_key_uses.c.key_id)
    shown = select(api_keys, api_key_uses.c.used_at.label("last_used_at")).select_from(joined)
    return shown.where(api_keys.c.brand_id == brand_id, api_keys.c.mode.in_(modes))


def _connections(brand_id: BrandId, modes: tuple[str, ...]) -> Select[Any]:
    mine: ColumnElement[bool] = connections.c.brand_id == brand_id
    return select(connections).where(mine, connections.c.deleted_at.is_(None), connections.c.mode.in_(modes))


async def next_brand(session: ReadSession, after: BrandId | None) -> BrandId | None:
    """In the order of their ids; for the worker role, which may list them."""
    statement = select(brands.c.brand_id).order_by(brands.c.brand_id).limit(1)
    if after is not None:
        statement = statement.where(brands.c.brand_id > after)
    found = await session.scalar(statement)
    return None if found is None else BrandId(found)


async def next_switched(session: ReadSession, after: BrandId | None) -> BrandId | None:
    """Brands (and the house) with a switch that was ever turned, in the order of their ids."""
    turned = select(outgoing_switches.c.brand_id).where(outgoing_switches.c.version > 0)
    if after is not None:
        turned = turned.where(outgoing_switches.c.brand_id > after)
    found = await session.scalar(turned.order_by(outgoing_switches.c.brand_id).limit(1))
    return None if found is None else BrandId(found)


async def switches_state(
    session: ReadSession, brand_id: BrandId, *, after: str, limit: int, lock: bool
) -> Sequence[Any]:
    """Switches of a brand in the order of their platforms; "", every platform, comes first."""
    statement = select(outgoing_switches).where(
        outgoing_switches.c.brand_id == brand_id, outgoing_switches.c.version > 0
    )
    if after:
        statement = statement.where(outgoing_switches.c.platform > after.removeprefix(SWITCH_POSITION))
    return await _state(session, statement.order_by(outgoing_switches.c.platform), limit=limit, lock=lock)


async def brands_state(
    session: ReadSession, brand_id: BrandId, *, after: str, limit: int, lock: bool
) -> Sequence[Any]:
    """The brand itself."""
    statement = select(brands).where(brands.c.brand_id == brand_id)
    return [] if after else await _state(session, statement, limit=limit, lock=lock)


async def keys_state(
    session: ReadSession, brand_id: BrandId, *, after: str, limit: int, lock: bool
) -> Sequence[Any]:
    """Keys of a brand in the order of their ids, revoked ones too."""
    statement = select(api_keys).where(api_keys.c.brand_id == brand_id, api_keys.c.key_id > after)
    return await _state(session, statement.order_by(api_keys.c.key_id), limit=limit, lock=lock)


async def connections_state(
    session: ReadSession, brand_id: BrandId, *, after: str, limit: int, lock: bool
) -> Sequence[Any]:
    """Connections of a brand in the order of their ids, deleted ones too, without their tokens; not those that nobody
    has chosen a catalog for."""
    statement = select(*_CONNECTION_STATE).where(
        connections.c.brand_id == brand_id, connections.c.state != CHOOSE_ASSETS
    )
    if after:
        statement = statement.where(connections.c.connection_id > UUID(after))
    return await _state(session, statement.order_by(connections.c.connection_id), limit=limit, lock=lock)


async def _state(session: ReadSession, statement: Select[Any], *, limit: int, lock: bool) -> Sequence[Any]:
    statement = statement.limit(limit)
    return await session.all(statement.with_for_update(read=True) if lock else statement)


SWITCH_POSITION = "/"
"""Before the platform in the position of a switch: that of all platforms is not empty."""
_TOKEN_COLUMNS = ("token_key_id", "token_nonce", "token_ciphertext")
_CONNECTION_STATE = [column for column in connections.c if column.name not in _TOKEN_COLUMNS]
