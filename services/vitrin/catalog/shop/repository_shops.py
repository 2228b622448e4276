"""SQL of the shops: the replica of their connections, and what they said of themselves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from vitrin.catalog.shop.packing import ShopKey
from vitrin.catalog.shop.values import Shop
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.platforms.shop import ShopSpec

_COLUMNS: Final = (
    "brand_id, connection_id, version, platform, mode, base_url, external_ids, market, connection_state, deleted,"
    " created_at, updated_at, state, problem, name, currency, storefront_url, asked_at, webhooks, webhooks_problem,"
    " webhooks_at, last_delivery_at, loaded_at, products_since, orders_since, delta_at, full_at"
)
_KEY: Final = "brand_id = :brand_id and connection_id = :connection_id"
_SAVE: Final = text(
    "insert into shops (brand_id, connection_id, version, platform, mode, base_url, external_ids, market,"
    " connection_state, deleted, created_at, updated_at, state, problem) values (:brand_id, :connection_id, :version,"
    " :platform, :mode, :base_url, cast(:external_ids as jsonb), :market, :connection_state, :deleted, :now, :now,"
    " :state, cast(:problem as jsonb)) on conflict (brand_id, connection_id) do update set version = excluded.version,"
    " mode = excluded.mode, base_url = excluded.base_url, external_ids = excluded.external_ids,"
    " market = excluded.market, connection_state = excluded.connection_state, deleted = excluded.deleted,"
    " updated_at = excluded.updated_at, state = excluded.state, problem = excluded.problem, asked_at = null,"
    " webhooks_at = null, delta_at = null where shops.version < excluded.version returning version"
)
_GET: Final = text(f"select {_COLUMNS} from shops where {_KEY}")
_LIST: Final = text(
    f"select {_COLUMNS} from shops where brand_id = :brand_id and (not :sandbox_only or mode = 'sandbox')"
    " and connection_id > :after order by connection_id limit :limit"
)
_CONNECTED: Final = text(
    f"select {_COLUMNS} from shops where brand_id = :brand_id and platform = :platform"
    " and external_ids ->> cast(:name as text) = :address and not deleted and state <> 'uninstalled'"
)
_SEEN: Final = text(
    "update shops set last_delivery_at = greatest(last_delivery_at, cast(:at as timestamptz))"
    f" where {_KEY} and (last_delivery_at is null or last_delivery_at < :at)"
)
CHANGEABLE: Final = frozenset(
    {
        "state",
        "problem",
        "name",
        "currency",
        "storefront_url",
        "asked_at",
        "webhooks",
        "webhooks_problem",
        "webhooks_at",
        "loaded_at",
        "products_since",
        "orders_since",
        "delta_at",
        "full_at",
    }
)
NEEDS_ATTENTION: Final = "needs_attention"
"""State of a shop that does not accept our token: it comes back when it is connected again."""
_JSON: Final = frozenset({"problem", "webhooks_problem"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopRow:
    brand_id: BrandId
    connection_id: ConnectionId
    version: int
    platform: str
    mode: str
    base_url: str
    external_ids: Mapping[str, str]
    market: str
    connection_state: str
    deleted: bool
    created_at: datetime
    updated_at: datetime
    state: str
    problem: Mapping[str, str] | None
    name: str
    currency: str
    storefront_url: str
    asked_at: datetime | None
    webhooks: str
    webhooks_problem: Mapping[str, str] | None
    webhooks_at: datetime | None
    last_delivery_at: datetime | None
    loaded_at: datetime | None
    products_since: datetime | None
    orders_since: datetime | None
    delta_at: datetime | None
    full_at: datetime | None

    @property
    def key(self) -> ShopKey:
        return self.brand_id, self.connection_id

    @property
    def reachable(self) -> bool:
        """Whether what it says is applied."""
        return self.may_be_asked and self.state in ("new", "ready")

    @property
    def may_be_asked(self) -> bool:
        """Also one that was in the wrong: it may have been put right."""
        return not self.deleted and self.connection_state == "active" and self.state != "uninstalled"

    def shop(self, spec: ShopSpec) -> Shop:
        return Shop(
            brand=self.brand_id,
            connection_id=self.connection_id,
            spec=spec,
            external_ids=dict(self.external_ids),
            market=self.market,
            currency=self.currency,
            storefront_url=self.storefront_url,
        )


def _params(key: ShopKey) -> dict[str, Any]:
    return {"brand_id": key[0], "connection_id": key[1]}


async def save(
    tx: WriteSession,
    key: ShopKey,
    *,
    version: int,
    platform: str,
    mode: str,
    base_url: str,
    external_ids: Mapping[str, str],
    market: str,
    connection_state: str,
    deleted: bool,
    state: str,
    problem: Mapping[str, str] | None,
    now: datetime,
) -> bool:
    """The newest version wins; False for an older one. What the shop said of itself is asked again."""
    params = {
        "version": version,
        "platform": platform,
        "mode": mode,
        "base_url": base_url,
        "external_ids": json.dumps(dict(external_ids)),
        "market": market,
        "connection_state": connection_state,
        "deleted": deleted,
        "state": state,
        "problem": None if problem is None else json.dumps(dict(problem)),
        "now": now,
    }
    return await tx.one_or_none(_SAVE, _params(key) | params) is not None


async def get(tx: ReadSession, key: ShopKey) -> ShopRow | None:
    row = await tx.one_or_none(_GET, _params(key))
    return None if row is None else ShopRow(**row._mapping)


async def connected_to(
    tx: ReadSession, brand: BrandId, *, platform: str, name: str, address: str
) -> list[ShopRow]:
    """Every connection of the brand to this shop that may still work; `name` is the external id that says which."""
    params = {"brand_id": brand, "platform": platform, "name": name, "address": address}
    return [ShopRow(**row._mapping) for row in await tx.all(_CONNECTED, params)]


async def page(
    tx: ReadSession, brand: BrandId, *, sandbox_only: bool, after: ConnectionId, limit: int
) -> list[ShopRow]:
    params = {"brand_id": brand, "sandbox_only": sandbox_only, "after": after, "limit": limit}
    return [ShopRow(**row._mapping) for row in await tx.all(_LIST, params)]


async def change(tx: WriteSession, key: ShopKey, **values: object) -> None:
    """Names of CHANGEABLE."""
    unknown = values.keys() - CHANGEABLE
    if unknown:
        raise ValueError(f"shops has no {sorted(unknown)} to change")
    sets = ", ".join(
        f"{name} = cast(:{name} as jsonb)" if name in _JSON else f"{name} = :{name}" for name in values
    )
    params = {
        name: json.dumps(value) if name in _JSON and value is not None else value
        for name, value in values.items()
    }
    await tx.execute(text(f"update shops set {sets} where {_KEY}"), _params(key) | params)


async def seen(tx: WriteSession, key: ShopKey, at: datetime) -> None:
    """A delivery came."""
    await tx.execute(_SEEN, _params(key) | {"at": at})
