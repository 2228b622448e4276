"""Use cases of the HTTP door: orders of the brand, and what its shops asked in the name of customers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from vitrin.catalog.orders import repository, repository_privacy
from vitrin.catalog.orders.attention import PrivacyNotices
from vitrin.catalog.orders.documents import Document, order_document, place_of, request_document
from vitrin.catalog.orders.errors import (
    OrderNotFound,
    PersonNotShown,
    PrivacyRequestAnswered,
    PrivacyRequestNotFound,
)
from vitrin.catalog.orders.privacy import REQUEST_CONTEXT
from vitrin.catalog.orders.repository import Wanted
from vitrin.catalog.orders.taking import CONTEXT
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.ids import ConnectionId
from vitrin.kit.seal import Erased, Sealer, unpack

PERSON_SCOPE: Final = "accounts:write"
"""Who bought is the owner's to see, and that of keys with the owner's rights."""
VIEWS_SHOWN: Final = 20


class OrderReading:
    def __init__(self, *, database: AppDatabase, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._notices = PrivacyNotices(clock)

    async def page(
        self, caller: Principal, wanted: Wanted, *, limit: int
    ) -> list[tuple[Document, tuple[datetime, UUID, str]]]:
        """The newest first, each with its position."""
        async with self._database.read(caller.brand_id) as tx:
            rows = await repository.page(tx, caller.brand_id, wanted, limit=limit)
        return [(order_document(row), (row.created_at, row.connection_id, row.order_id)) for row in rows]

    async def get(self, caller: Principal, order: str, *, person: bool) -> Document:
        """OrderNotFound, PersonNotShown, SealUnavailable."""
        place = place_of(order)
        if place is None:
            raise OrderNotFound
        shop, order_id = ConnectionId(place[0]), place[1]
        async with self._database.read(caller.brand_id) as tx:
            row = await repository.get(
                tx, caller.brand_id, shop, order_id, sandbox_only=caller.mode == "test"
            )
            views = await repository.views(tx, caller.brand_id, shop, order_id, limit=VIEWS_SHOWN)
        if row is None:
            raise OrderNotFound
        found = order_document(row) | {
            "timeline": row.timeline,
            "person_seen": [{"at": one.at, "by": one.actor} for one in views],
        }
        if not person:
            return found
        if PERSON_SCOPE not in caller.scopes:
            raise PersonNotShown
        opened = await self._opened(caller, [row.person], CONTEXT)
        async with self._database.write(caller.brand_id) as tx:
            await repository.viewed(
                tx, caller.brand_id, shop, [order_id], actor=caller.actor, at=self._clock()
            )
        return found | {"person": opened[0]}

    async def requests(
        self,
        caller: Principal,
        *,
        state: str | None,
        kind: str | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[tuple[Document, tuple[datetime, UUID]]]:
        async with self._database.read(caller.brand_id) as tx:
            rows = await repository_privacy.page(
                tx,
                caller.brand_id,
                state=state,
                kind=kind,
                after=after,
                sandbox_only=caller.mode == "test",
                limit=limit,
            )
        return [(request_document(row), (row.received_at, row.request_id)) for row in rows]

    async def request(self, caller: Principal, request_id: UUID) -> Document:
        """An export has everything that is known of the person in the orders that the shop named."""
        async with self._database.read(caller.brand_id) as tx:
            row = await repository_privacy.get(
                tx, caller.brand_id, request_id, sandbox_only=caller.mode == "test"
            )
            if row is None:
                raise PrivacyRequestNotFound
            shop = ConnectionId(row.connection_id)
            named = row.order_ids if row.kind == "export" else []
            orders = await repository.some(tx, caller.brand_id, shop, named)
        found = request_document(row)
        if row.kind != "export":
            return found
        asker = await self._opened(caller, [row.person], REQUEST_CONTEXT)
        people = await self._opened(caller, [one.person for one in orders], CONTEXT)
        async with self._database.write(caller.brand_id) as tx:
            await repository.viewed(
                tx,
                caller.brand_id,
                shop,
                [one.order_id for one in orders],
                actor=caller.actor,
                at=self._clock(),
                request=request_id,
            )
        return found | {
            "person": asker[0],
            "orders": [
                order_document(one) | {"person": who} for one, who in zip(orders, people, strict=True)
            ],
        }

    async def answered(self, caller: Principal, request_id: UUID) -> Document:
        """The brand did its part. PrivacyRequestNotFound, PrivacyRequestAnswered."""
        test = caller.mode == "test"
        async with self._database.write(caller.brand_id) as tx:
            row = await repository_privacy.get(tx, caller.brand_id, request_id, sandbox_only=test)
            if row is None:
                raise PrivacyRequestNotFound
            done = await repository_privacy.answer(
                tx, caller.brand_id, request_id, actor=caller.actor, now=self._clock()
            )
            if not done:
                raise PrivacyRequestAnswered
            await self._notices.over(tx, caller.brand_id, request_id)
            row = await repository_privacy.get(tx, caller.brand_id, request_id, sandbox_only=test)
        assert row is not None
        return request_document(row)

    async def _opened(
        self, caller: Principal, packed: Sequence[bytes | None], context: str
    ) -> list[Mapping[str, Any] | None]:
        """None: nobody was named, or the person was erased."""
        sealed = [unpack(one) for one in packed if one is not None]
        opened = iter(await self._sealer.open_many(caller.brand_id, sealed, context=context))
        found: list[Mapping[str, Any] | None] = []
        for one in packed:
            fields = next(opened) if one is not None else None
            found.append(None if fields is None or isinstance(fields, Erased) else dict(fields))
        return found
