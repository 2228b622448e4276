"""SQL of whole loads: how far each is, and which products it has shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.catalog.shop.packing import ShopKey
from vitrin.catalog.shop.values import Applied
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import new_uuid

KEEP_LOADS: Final = timedelta(days=90)
OPEN_STATES: Final = ("asked", "preparing", "reading", "checking")
_COLUMNS: Final = (
    "load_id, kind, state, actor, handle, cursor, objects, pages, products, created, updated, unchanged, deleted,"
    " refused, checked_after, tries, problem, created_at, updated_at, finished_at"
)
_SHOP: Final = "brand_id = :brand_id and connection_id = :connection_id"
_LOAD: Final = "brand_id = :brand_id and load_id = :load_id"
_OPEN: Final = "state in ('asked', 'preparing', 'reading', 'checking')"
_CREATE: Final = text(
    "insert into shop_loads (brand_id, load_id, connection_id, kind, state, actor, created_at, updated_at)"
    " values (:brand_id, :load_id, :connection_id, :kind, 'asked', :actor, :now, :now)"
    f" on conflict (brand_id, connection_id) where {_OPEN} do nothing"
)
_FIND_OPEN: Final = text(f"select {_COLUMNS} from shop_loads where {_SHOP} and {_OPEN}")
_RECENT: Final = text(
    f"select {_COLUMNS} from shop_loads where {_SHOP} order by created_at desc, load_id desc limit :limit"
)
_COUNT: Final = text(
    "update shop_loads set created = created + :created, updated = updated + :updated,"
    " unchanged = unchanged + :unchanged, deleted = deleted + :deleted, refused = refused + :refused,"
    " products = products + :products, updated_at = :now"
    f" where {_LOAD} and {_OPEN}"
)
_SHOWN: Final = text(
    "insert into shop_load_products (brand_id, load_id, product_id)"
    " select :brand_id, :load_id, p from unnest(cast(:products as text[])) as p on conflict do nothing"
)
_NOT_SHOWN: Final = text(
    "select p from unnest(cast(:products as text[])) as p where not exists (select from shop_load_products s"
    " where s.brand_id = :brand_id and s.load_id = :load_id and s.product_id = p) order by p"
)
_FORGET_SHOWN: Final = text(f"delete from shop_load_products where {_LOAD}")
_STOP: Final = text(
    "update shop_loads set state = 'stopped', problem = cast(:problem as jsonb), updated_at = :now,"
    f" finished_at = :now where {_SHOP} and {_OPEN} returning load_id, kind"
)
_PAUSE: Final = text(
    "update shop_loads set problem = cast(:problem as jsonb), updated_at = :now"
    f" where {_SHOP} and {_OPEN} and problem is null returning kind"
)
_RETIRE: Final = text(f"delete from shop_loads where {_SHOP} and created_at < :before and not ({_OPEN})")
_CHANGEABLE: Final = frozenset(
    {
        "state",
        "handle",
        "cursor",
        "objects",
        "pages",
        "checked_after",
        "tries",
        "problem",
        "finished_at",
        "updated_at",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    load_id: UUID
    kind: str
    state: str
    actor: str
    handle: str
    cursor: str | None
    objects: int
    pages: int
    products: int
    created: int
    updated: int
    unchanged: int
    deleted: int
    refused: int
    checked_after: str
    tries: int
    problem: Mapping[str, str] | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


def _shop(key: ShopKey) -> dict[str, Any]:
    return {"brand_id": key[0], "connection_id": key[1]}


def _load(key: ShopKey, load: Load) -> dict[str, Any]:
    return {"brand_id": key[0], "load_id": load.load_id}


async def ensure(tx: WriteSession, key: ShopKey, *, kind: str, actor: str, now: datetime) -> Load:
    """The one that is open, else a new one."""
    params = {"load_id": new_uuid(), "kind": kind, "actor": actor, "now": now}
    await tx.execute(_CREATE, _shop(key) | params)
    found = await find_open(tx, key)
    assert found is not None
    return found


async def find_open(tx: ReadSession, key: ShopKey) -> Load | None:
    row = await tx.one_or_none(_FIND_OPEN, _shop(key))
    return None if row is None else Load(**row._mapping)


async def recent(tx: ReadSession, key: ShopKey, *, limit: int) -> list[Load]:
    """The newest first."""
    return [Load(**row._mapping) for row in await tx.all(_RECENT, _shop(key) | {"limit": limit})]


async def change(tx: WriteSession, key: ShopKey, load: Load, *, now: datetime, **values: object) -> bool:
    """False when it is not open any more."""
    unknown = values.keys() - _CHANGEABLE
    if unknown:
        raise ValueError(f"shop_loads has no {sorted(unknown)} to change")
    sets = ", ".join(
        f"{name} = cast(:{name} as jsonb)" if name == "problem" else f"{name} = :{name}" for name in values
    )
    params = {
        name: json.dumps(value) if name == "problem" and value is not None else value
        for name, value in values.items()
    }
    done = await tx.execute(
        text(f"update shop_loads set {sets}, updated_at = :now where {_LOAD} and {_OPEN}"),
        _load(key, load) | params | {"now": now},
    )
    return bool(done.rowcount == 1)


async def count(
    tx: WriteSession, key: ShopKey, load: Load, applied: Sequence[Applied], *, products: int, now: datetime
) -> None:
    sums = {
        name: sum(getattr(one, name) for one in applied)
        for name in ("created", "updated", "unchanged", "deleted")
    }
    refused = sum(len(one.refused) for one in applied)
    await tx.execute(_COUNT, _load(key, load) | sums | {"refused": refused, "products": products, "now": now})


async def show(tx: WriteSession, key: ShopKey, load: Load, products: Sequence[str]) -> int:
    """How many it had not shown before."""
    done = await tx.execute(_SHOWN, _load(key, load) | {"products": sorted(set(products))})
    return int(done.rowcount)


async def not_shown(tx: ReadSession, key: ShopKey, load: Load, products: Sequence[str]) -> list[str]:
    rows = await tx.all(_NOT_SHOWN, _load(key, load) | {"products": list(products)})
    return [row.p for row in rows]


async def forget_shown(tx: WriteSession, key: ShopKey, load: Load) -> None:
    await tx.execute(_FORGET_SHOWN, _load(key, load))


async def pause(tx: WriteSession, key: ShopKey, *, problem: Mapping[str, object], now: datetime) -> list[str]:
    """An open load with a problem rests; kinds of those that did not yet."""
    rows = await tx.all(_PAUSE, _shop(key) | {"problem": json.dumps(dict(problem)), "now": now})
    return [row.kind for row in rows]


async def stop(tx: WriteSession, key: ShopKey, *, problem: Mapping[str, object], now: datetime) -> list[str]:
    """Kinds of those that were open."""
    rows = await tx.all(_STOP, _shop(key) | {"problem": json.dumps(dict(problem)), "now": now})
    for row in rows:
        await tx.execute(_FORGET_SHOWN, {"brand_id": key[0], "load_id": row.load_id})
    return [row.kind for row in rows]


async def retire(tx: WriteSession, key: ShopKey, *, now: datetime) -> int:
    done = await tx.execute(_RETIRE, _shop(key) | {"before": now - KEEP_LOADS})
    return int(done.rowcount)
