"""What the routes of shops ask for: how each shop stands, its loads, its deliveries, and what a person may do."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from vitrin.catalog.shop import (
    repository_deliveries,
    repository_loads,
    repository_products,
    repository_queues,
    repository_shops,
)
from vitrin.catalog.shop.errors import DeliveryDone, DeliveryUnknown, ShopClosed, ShopUnknown
from vitrin.catalog.shop.repository_loads import Load
from vitrin.catalog.shop.repository_products import Key
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import ConnectionId

Document = dict[str, Any]
LOADS_SHOWN: Final = 5
FIRST: Final = ConnectionId(UUID(int=0))


class ShopDesk:
    """`moved` and `tend` tell the loops of this process."""

    def __init__(
        self, *, database: AppDatabase, clock: Clock, moved: Callable[[], None], tend: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._moved = moved
        self._tend = tend

    async def page(
        self, principal: Principal, *, after: ConnectionId | None, limit: int
    ) -> tuple[list[Document], ConnectionId | None]:
        async with self._database.read(principal.brand_id) as tx:
            rows = await repository_shops.page(
                tx,
                principal.brand_id,
                sandbox_only=principal.mode == "test",
                after=after or FIRST,
                limit=limit + 1,
            )
        more = rows[limit - 1].connection_id if len(rows) > limit else None
        return [shop_document(row) for row in rows[:limit]], more

    async def get(self, principal: Principal, connection: ConnectionId) -> Document:
        async with self._database.read(principal.brand_id) as tx:
            row = await _shop(tx, principal, connection)
            loads = await repository_loads.recent(tx, row.key, limit=LOADS_SHOWN)
            counts = await repository_deliveries.counts(tx, row.key)
            warnings = await repository_products.count_warnings(tx, Key(*row.key))
        return {
            **shop_document(row),
            "deliveries": {state: counts.get(state, 0) for state in DELIVERY_STATES},
            "loads": [load_document(load) for load in loads],
            "warnings": warnings,
        }

    async def load(self, principal: Principal, connection: ConnectionId) -> Document:
        now = self._clock()
        async with self._database.write(principal.brand_id) as tx:
            row = await _shop(tx, principal, connection)
            if not row.may_be_asked:
                raise ShopClosed(f"The shop is {row.state}.")
            found = await repository_loads.ensure(tx, row.key, kind="manual", actor=principal.actor, now=now)
            await repository_queues.wake(tx, [row.key], work="tending", due_at=now)
            tx.after_commit(self._tend)
        return load_document(found)

    async def deliveries(
        self,
        principal: Principal,
        connection: ConnectionId,
        *,
        state: str | None,
        before: int | None,
        limit: int,
    ) -> tuple[list[Document], int | None]:
        async with self._database.read(principal.brand_id) as tx:
            row = await _shop(tx, principal, connection)
            found = await repository_deliveries.page(tx, row.key, state=state, before=before, limit=limit + 1)
        more = int(found[limit - 1]["seq"]) if len(found) > limit else None
        return [delivery_document(one) for one in found[:limit]], more

    async def warnings(
        self, principal: Principal, connection: ConnectionId, *, after: str, limit: int
    ) -> tuple[list[Document], str | None]:
        async with self._database.read(principal.brand_id) as tx:
            row = await _shop(tx, principal, connection)
            found = await repository_products.page_warnings(tx, Key(*row.key), after=after, limit=limit + 1)
        more = found[limit - 1].item_id if len(found) > limit else None
        return [one._asdict() for one in found[:limit]], more

    async def replay(self, principal: Principal, connection: ConnectionId, delivery_id: str) -> Document:
        now = self._clock()
        async with self._database.write(principal.brand_id) as tx:
            row = await _shop(tx, principal, connection)
            if await repository_deliveries.get(tx, row.key, delivery_id) is None:
                raise DeliveryUnknown
            if not await repository_deliveries.replay(tx, row.key, delivery_id, now=now):
                raise DeliveryDone
            await repository_queues.wake(tx, [row.key], work="deliveries", due_at=now)
            found = await repository_deliveries.get(tx, row.key, delivery_id)
            tx.after_commit(self._moved)
        assert found is not None
        return delivery_document(found)


DELIVERY_STATES: Final = ("pending", "failed", "dead", "waiting", "applied", "stale", "nothing")


async def _shop(tx: ReadSession, principal: Principal, connection: ConnectionId) -> ShopRow:
    """Of the brand; a test key sees those of the sandbox. Raises ShopUnknown."""
    row = await repository_shops.get(tx, (principal.brand_id, connection))
    if row is None or (principal.mode == "test" and row.mode != "sandbox"):
        raise ShopUnknown
    return row


def shop_document(row: ShopRow) -> Document:
    return {
        "id": str(row.connection_id),
        "platform": row.platform,
        "mode": row.mode,
        "external_ids": dict(row.external_ids),
        "state": row.state,
        "problem": row.problem,
        "name": row.name,
        "currency": row.currency,
        "storefront_url": row.storefront_url,
        "webhooks": {"state": row.webhooks, "problem": row.webhooks_problem, "checked_at": row.webhooks_at},
        "last_delivery_at": row.last_delivery_at,
        "loaded_at": row.loaded_at,
        "next_delta_at": row.delta_at,
        "next_load_at": row.full_at,
        "created_at": row.created_at,
    }


def load_document(load: Load) -> Document:
    return {
        "id": str(load.load_id),
        "kind": load.kind,
        "state": load.state,
        "actor": load.actor,
        "objects": load.objects,
        "pages": load.pages,
        **{
            name: getattr(load, name)
            for name in ("products", "created", "updated", "unchanged", "deleted", "refused")
        },
        "problem": load.problem,
        "created_at": load.created_at,
        "updated_at": load.updated_at,
        "finished_at": load.finished_at,
    }


def delivery_document(row: Document) -> Document:
    return {
        "id": row["delivery_id"],
        "topic": row["topic"],
        "kind": row["kind"],
        "subject": row["subject"],
        "state": row["state"],
        "tries": row["tries"],
        "received_at": row["received_at"],
        "next_try_at": row["due_at"],
        "finished_at": row["finished_at"],
        "problem": row["problem"],
        "bytes": row["body_bytes"],
        "replayable": row["has_body"] and row["state"] in ("failed", "dead", "waiting"),
    }
